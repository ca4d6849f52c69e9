
// The section Audit Events.
