
// The event viewer.
