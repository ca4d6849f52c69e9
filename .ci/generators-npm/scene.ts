// Where the program is, and the events that both clients record.
const variable = (name: string): string => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
};
export const API = variable("API");
export const ORGANISATION = variable("ORGANISATION");
export const BUCKET = variable("BUCKET");
export const ROLE = variable("ROLE");
export const PRODUCER = variable("PRODUCER");
export const AUDITOR = variable("AUDITOR");
export const ADMIN = variable("ADMIN");

const event = {
  action: "UPDATE",
  entity: { id: "m-1", name: "Payments", entityType: "MOCK_API" },
  principal: { id: "42", name: "Ada Bell", entityType: "USER", email: "ada@example.com" },
};
export const EVENTS = [
  { ...event, permission: undefined },
  { ...event, permission: "ALL_PERMISSIONS" as const },
  { ...event, permission: { permissions: [{ id: "p", friendlyId: "read" }] } },
];
