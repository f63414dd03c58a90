// Adds headers to every request of a Node test tool that has no option for them (the MCP conformance suite).
// Copied from `../shared/tools/mcp-headers.mjs`, which is not beside every clone of this repository.
//   NODE_OPTIONS="--import $PWD/mcp-headers.mjs" UNDICI_FROM=<folder with the suite's node_modules>/package.json \
//   MCP_HEADERS='{"authorization":"Bearer …","x-agentkeys-actor":"…"}' npx conformance server --url …
import { createRequire } from 'node:module';

const require = createRequire(process.env.UNDICI_FROM ?? `${process.cwd()}/package.json`);
const { Agent, setGlobalDispatcher } = require('undici');
const extra = JSON.parse(process.env.MCP_HEADERS ?? '{}');

setGlobalDispatcher(new Agent().compose((dispatch) => (options, handler) => {
  const given = options.headers;
  let headers;
  if (given && typeof given[Symbol.iterator] === 'function') {
    headers = Array.isArray(given) ? [...given] : [...given].flat();
    for (const [name, value] of Object.entries(extra)) headers.push(name, value);
  } else {
    headers = { ...given, ...extra };
  }
  return dispatch({ ...options, headers }, handler);
}));

const http = require('http');
const request = http.request;
http.request = function (...args) {
  const i = args.findIndex((a) => a && typeof a === 'object' && !(a instanceof URL));
  if (i >= 0) args[i] = { ...args[i], headers: { ...(args[i].headers ?? {}), ...extra } };
  return request.apply(this, args);
};
