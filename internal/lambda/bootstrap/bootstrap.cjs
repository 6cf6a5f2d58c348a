"use strict";
// The runtime client of Node.js functions: it serves one invocation at a time on the loopback.
//
// The module of the handler is loaded before the first request, so that what it costs is paid once, before the
// environment is saved. What fails there is told to every invocation.

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const util = require("node:util");
const { Writable } = require("node:stream");
const { pathToFileURL } = require("node:url");

const PORT = 9001;
const STREAMED = Symbol.for("aws.lambda.runtime.handler.streaming");
const HTTP_TYPE = "application/vnd.awslambda.http-integration-response";

let running = null; // the invocation, between its request and its answer

function say(text) {
  fs.writeSync(1, text);
}

// console.* are lines of the log as AWS has them.
const JSON_LOG = (process.env.AWS_LAMBDA_LOG_FORMAT || "").toUpperCase() === "JSON";
const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const levels = { trace: "TRACE", debug: "DEBUG", log: "INFO", info: "INFO", warn: "WARN", error: "ERROR", fatal: "FATAL" };
const least = LEVELS.indexOf((process.env.AWS_LAMBDA_LOG_LEVEL || "").toUpperCase());
for (const [name, level] of Object.entries(levels)) {
  console[name] = (...args) => {
    if (LEVELS.indexOf(level) < least) return;
    const at = new Date().toISOString();
    const id = running ? running.id : undefined;
    say(JSON_LOG ? jsonLine(at, id, level, args) : `${at}\t${id}\t${level}\t${util.format(...args).replace(/\n/g, "\r")}\n`);
  };
}

function detail(error) {
  return { errorType: error.constructor.name, errorMessage: error.message, stackTrace: String(error.stack).split("\n") };
}

// jsonLine is a line of a JSON log: one argument as it is, several as text.
function jsonLine(timestamp, requestId, level, args) {
  const line = { timestamp, level, requestId, message: args[0] };
  if (args.length === 1) {
    try {
      return JSON.stringify(line, (_, value) => (value instanceof Error ? { ...detail(value), ...value } : value)) + "\n";
    } catch (e) {
      // as text
    }
  }
  const error = args.find((one) => one instanceof Error);
  return JSON.stringify({ ...line, message: util.format(...args), ...(args.length > 1 && error ? detail(error) : {}) }) + "\n";
}

// complain tells the log of a failure that its caller is told too.
function complain(how, error) {
  const told = described(error, JSON_LOG ? "stackTrace" : "stack");
  const at = new Date().toISOString();
  const id = running ? running.id : undefined;
  say(JSON_LOG ? jsonLine(at, id, "ERROR", [told]) : `${at}\t${id}\tERROR\t${how} \t${JSON.stringify(told)}\n`);
}

globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[STREAMED] = "response";
    handler.highWaterMark = options && options.highWaterMark;
    return handler;
  },
  HttpResponseStream: class HttpResponseStream {
    static from(stream, prelude) {
      stream.setContentType(HTTP_TYPE);
      stream.prelude = JSON.stringify(prelude) + "\0".repeat(8);
      return stream;
    }
  },
};

// Failure is what the caller is told where it is no error of the code's own.
class Failure extends Error {
  constructor(kind, message) {
    super(message);
    this.name = kind;
    this.stack = "";
  }
}

// described is an error as the caller gets it, with its trace or its stack.
function described(error, member) {
  if (!(error instanceof Error) && !util.types.isNativeError(error)) {
    return { errorType: typeof error, errorMessage: String(error), [member]: [] };
  }
  const message = error.message === undefined ? String(error) : String(error.message);
  return { errorType: error.name || "Error", errorMessage: message, [member]: error.stack ? String(error.stack).split("\n").filter((line) => !line.includes(__filename)) : [] };
}

async function load() {
  const name = process.env._HANDLER;
  const dir = path.dirname(name);
  const at = path.basename(name).indexOf(".");
  if (at < 1) throw new Failure("Runtime.MalformedHandlerName", "Bad handler");
  const base = path.basename(name);
  const file = path.resolve(process.env.LAMBDA_TASK_ROOT, dir, base.slice(0, at));
  const found = ["", ".js", ".mjs", ".cjs"].map((end) => file + end).find((f) => fs.existsSync(f) && fs.statSync(f).isFile());
  const module = path.join(dir, base.slice(0, at));
  let loaded;
  try {
    if (found === undefined) loaded = require(file); // a directory with an index, or an error that says so
    else loaded = await required(found);
  } catch (e) {
    if (e instanceof SyntaxError) {
      const failure = new Failure("Runtime.UserCodeSyntaxError", String(e));
      failure.stack = e.stack;
      throw failure;
    }
    if (e && (e.code === "MODULE_NOT_FOUND" || e.code === "ERR_MODULE_NOT_FOUND")) {
      const failure = new Failure("Runtime.ImportModuleError", found === undefined ? `Error: Cannot find module '${module}'` : String(e));
      failure.stack = e.stack;
      throw failure;
    }
    throw e;
  }
  let handler = loaded;
  for (const part of base.slice(at + 1).split(".")) handler = handler === undefined || handler === null ? undefined : handler[part];
  if (handler === undefined) throw new Failure("Runtime.HandlerNotFound", `${name} is undefined or not exported`);
  if (typeof handler !== "function") throw new Failure("Runtime.HandlerNotFound", `${name} is not a function`);
  return handler;
}

// required loads a file as the kind of module that it is.
async function required(file) {
  if (file.endsWith(".mjs")) return import(pathToFileURL(file).href);
  try {
    return require(file);
  } catch (e) {
    const esm = e && (e.code === "ERR_REQUIRE_ESM" || e.code === "ERR_REQUIRE_ASYNC_MODULE" || (e instanceof SyntaxError && isModule(file)));
    if (!esm) throw e;
    return import(pathToFileURL(file).href);
  }
}

// isModule tells whether the nearest package says that its files are ECMAScript modules.
function isModule(file) {
  for (let dir = path.dirname(file); ; dir = path.dirname(dir)) {
    try {
      return JSON.parse(fs.readFileSync(path.join(dir, "package.json"), "utf8")).type === "module";
    } catch (e) {
      if (dir === path.dirname(dir)) return false;
    }
  }
}

function contextOf(head, settle) {
  const deadline = Number(head["lambda-runtime-deadline-ms"]);
  const given = head["lambda-runtime-client-context"];
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: given ? JSON.parse(Buffer.from(given, "base64").toString("utf8")) : undefined,
    identity: undefined,
    invokedFunctionArn: head["lambda-runtime-invoked-function-arn"],
    awsRequestId: head["lambda-runtime-aws-request-id"],
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
    done: (error, result) => settle(error, result),
    succeed: (result) => settle(null, result),
    fail: (error) => settle(error === undefined || error === null ? "handled" : error),
  };
}

const sockets = new Set(); // of those who ask us
let server;
let drained = null; // what the end of the event loop means; null where it may not end

// serving has our own server keep the event loop alive, or not: without it the loop ends when
// nothing is left that could answer an invocation.
function serving(on) {
  for (const one of [server, ...sockets]) {
    if (on) one.ref();
    else one.unref();
  }
}

process.on("beforeExit", () => {
  if (drained === null) return;
  serving(true);
  drained();
});

// call runs a handler that answers as a whole, in any of the ways there are. What is called first counts.
function call(handler, event, head) {
  const mine = running;
  return new Promise((resolve, reject) => {
    const settle = (error, result) => (error === undefined || error === null ? resolve(result) : reject(error));
    const context = contextOf(head, settle);
    let called = false;
    const callback = (error, result) => {
      if (called || running !== mine) return;
      called = true;
      const waits = context.callbackWaitsForEmptyEventLoop && (error === undefined || error === null);
      if (waits) drained = () => settle(error, result);
      else settle(error, result);
    };
    drained = () => {
      if (handler.constructor.name !== "AsyncFunction") return resolve(null);
      return reject(new Failure("Runtime.NodeJsExit", "The handler's promise was never settled, and nothing is left that could settle it."));
    };
    serving(false);
    const returned = handler(event, context, callback);
    if (returned && typeof returned.then === "function") returned.then(resolve, reject);
  });
}

// ResponseStream is what a streaming handler writes to.
class ResponseStream extends Writable {
  constructor(response, highWaterMark) {
    super({ highWaterMark });
    this.response = response;
    this.prelude = null;
    this.type = "application/octet-stream";
  }
  setContentType(type) {
    this.type = type;
  }
  open() {
    if (this.response.headersSent) return;
    this.response.setHeader("Outcrop-Content-Type", this.type);
    this.response.setHeader("Outcrop-Max-Memory", memory());
    this.response.setHeader("Trailer", "Outcrop-Failure");
    this.response.writeHead(200);
    this.response.flushHeaders();
    if (this.prelude !== null) this.response.write(this.prelude);
  }
  _write(chunk, encoding, done) {
    this.open();
    this.response.write(chunk, encoding) ? done() : this.response.once("drain", done);
  }
  _final(done) {
    this.open();
    done();
  }
}

async function stream(handler, event, head, response) {
  const out = new ResponseStream(response, handler.highWaterMark);
  const finished = new Promise((resolve, reject) => out.once("finish", resolve).once("error", reject));
  finished.catch(() => {}); // it is waited for below, if the handler gets that far
  const returned = handler(event, out, contextOf(head, () => {}));
  if (!returned || typeof returned.then !== "function") throw new Error("Streaming does not support non-async handlers.");
  await returned;
  await finished; // what the handler has begun may end it, as pipe does; what never ends has the function's timeout
}

function memory() {
  return String(process.resourceUsage().maxRSS >> 10);
}

// close ends an invocation: what it said is over, and its answer is whole.
function close(response, body, error) {
  const { head } = running;
  running = drained = null;
  serving(true);
  say(`\x1e${head["outcrop-end"]}\x1e`);
  if (!response.headersSent) {
    response.setHeader("Outcrop-Max-Memory", memory());
    if (error) response.setHeader("Outcrop-Function-Error", "Unhandled");
    response.setHeader("Content-Length", Buffer.byteLength(body));
    response.end(body);
    return;
  }
  if (error) response.addTrailers({ "Outcrop-Failure": Buffer.from(body).toString("base64") });
  response.end();
}

function fail(response, error, how) {
  complain(how, error);
  close(response, JSON.stringify(described(error, "trace")), true);
}

async function invoke(handler, head, body, response) {
  const mine = { id: head["lambda-runtime-aws-request-id"], head, response };
  running = mine;
  process.env.AWS_LAMBDA_LOG_STREAM_NAME = head["outcrop-log-stream"];
  try {
    if (handler instanceof Error) throw handler;
    const event = JSON.parse(body);
    if (handler[STREAMED] === "response") {
      await stream(handler, event, head, response);
      if (running === mine) close(response, "", false);
      return;
    }
    const result = await call(handler, event, head);
    let text;
    try {
      text = JSON.stringify(result === undefined ? null : result);
    } catch (e) {
      throw new Failure("Runtime.MarshalError", `Unable to stringify response body: ${e.message}`);
    }
    if (running === mine) close(response, text === undefined ? "null" : text, false);
  } catch (e) {
    if (running === mine) fail(response, e, "Invoke Error");
  }
}

// What nobody catches ends the environment, after its invocation was told.
function uncaught(error, how) {
  if (running !== null) {
    const { response } = running;
    if (!response.headersSent) response.setHeader("Outcrop-Ended", "1");
    response.once("finish", () => process.exit(129));
    fail(response, error, how);
    return;
  }
  complain(how, error);
  process.exit(129);
}

process.on("uncaughtException", (e) => uncaught(e, "Uncaught Exception"));
process.on("unhandledRejection", (reason) => {
  const failure = new Failure("Runtime.UnhandledPromiseRejection", String(reason instanceof Error ? `${reason.name}: ${reason.message}` : reason));
  if (reason instanceof Error) failure.stack = reason.stack;
  uncaught(failure, "Unhandled Promise Rejection");
});

async function main() {
  let handler;
  try {
    handler = await load();
  } catch (e) {
    handler = e instanceof Error ? e : new Failure("Runtime.InitError", String(e));
    complain("Uncaught Exception", handler);
  }
  server = http.createServer((request, response) => {
    if (request.url !== "/invoke") {
      response.end("{}");
      return;
    }
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => invoke(handler, request.headers, Buffer.concat(parts).toString("utf8"), response));
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    if (drained !== null) socket.unref();
  });
  server.listen(PORT, "127.0.0.1");
}

main();
