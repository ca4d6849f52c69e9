// Node resolves modules with their extensions only.
export default { input: "openapi.json", output: { path: "hey-api", module: { extension: ".js" } }, logs: { file: false } };
