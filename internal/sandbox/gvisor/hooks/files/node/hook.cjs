// Makes a Node process that is resumed from a snapshot unique again. The sandbox
// preloads it, in every thread. It waits by the event loop: no thread of its own,
// nothing that keeps the process alive.
'use strict';

const CHECKPOINT = '/proc/gvisor/checkpoint';
const ENVIRON = '/proc/gvisor/spec_environ';
const MODULE = __dirname + '/reseed.node';
const ADDRESS = '192.0.0.1';
const PORT = 1;
const KEY = 'outcrop hook'; // of what threads share

const fs = require('fs');
const {floor, imul} = Math;

let threads;   // worker_threads
let resumes;   // shared by all threads: how often the main thread was resumed
let seen = 0;  // of them, by this thread
let environ;   // of the spec that this process was started or resumed with

// What draws random numbers, as it is before us: in workers, all of it.
const native = {random: Math.random};
// The fast generator of Math.random is seeded once, and not by us. From the first
// resume on, random numbers come from elsewhere.
let generator = native.random;

// xoshiro returns a generator of the quality of V8's own (xoshiro128**).
function xoshiro(seed) {
  let [a, b, c, d] = seed;
  const next = () => {
    const x = imul(b, 5);
    const out = imul((x << 7) | (x >>> 25), 9) >>> 0;
    const t = b << 9;
    c ^= a; d ^= b; b ^= c; a ^= d; c ^= t;
    d = (d << 11) | (d >>> 21);
    return out;
  };
  return () => (next() * 0x200000 + floor(next() / 0x800)) / 0x20000000000000;
}

// freshen empties this thread's stores of random bytes, and seeds Math.random.
function freshen() {
  seen = resumes[0];
  // 128 identifiers and 1024 numbers are drawn ahead; the next ones are new.
  // Loading what nobody has loaded would take longer than all the rest.
  if (process.moduleLoadList.some((name) => name.endsWith(' crypto'))) {
    const {randomUUID, randomInt} = native.randomUUID ? native : require('crypto');
    if (randomUUID) for (let i = 0; i < 128; i++) randomUUID();
    if (randomInt) for (let i = 0; i < 1024; i++) randomInt(2);
  }
  const bytes = Buffer.alloc(16);
  const urandom = fs.openSync('/dev/urandom', 'r');
  fs.readSync(urandom, bytes, 0, bytes.length, null);
  fs.closeSync(urandom);
  generator = xoshiro([0, 4, 8, 12].map((i) => bytes.readInt32LE(i)));
}

// guard returns a function that freshens this thread first where that is due.
function guard(name, original) {
  const guarded = {[name](...args) {
    if (seen !== resumes[0]) freshen();
    return Reflect.apply(original, this, args);
  }}[name];
  Object.defineProperty(guarded, 'length', {value: original.length, configurable: true});
  return guarded;
}

// guardThread makes a worker notice a resume at the next number that it draws: it
// may be busy for long, and nobody waits for it. The main thread answers only
// after it has freshened itself.
function guardThread() {
  const crypto = require('crypto');
  native.randomUUID = crypto.randomUUID;
  native.randomInt = crypto.randomInt;
  for (const name of ['randomUUID', 'randomInt']) {
    if (native[name]) crypto[name] = guard(name, native[name]);
  }
  const web = crypto.webcrypto && Object.getPrototypeOf(crypto.webcrypto);
  if (web && web.randomUUID) web.randomUUID = guard('randomUUID', web.randomUUID);
  require('module').syncBuiltinESMExports();
}

function readEnviron() {
  const all = new Map();
  for (const entry of fs.readFileSync(ENVIRON, 'utf8').split('\0')) {
    const i = entry.indexOf('=');
    if (i > 0) all.set(entry.slice(0, i), entry.slice(i + 1));
  }
  return all;
}

// takeOver changes what has changed, and keeps what the program changed itself.
function takeOver() {
  const now = readEnviron();
  for (const name of environ.keys()) if (!now.has(name)) delete process.env[name];
  for (const [name, value] of now) if (environ.get(name) !== value) process.env[name] = value;
  environ = now;
}

// reseed makes OpenSSL's generators start anew: those of all threads.
function reseed() {
  const module = {exports: {}};
  process.dlopen(module, MODULE);
  if (module.exports !== 1) throw new Error('its OpenSSL cannot be reseeded');
}

// told does what a save or a resume asks of the main thread, and answers for all.
function told(what) {
  const restored = what === 'restore';
  let failure;
  try {
    reseed(); // at a save to find out whether it is possible
    if (restored) {
      Atomics.add(resumes, 0, 1);
      freshen();
      takeOver();
      const channel = new threads.BroadcastChannel(KEY);
      channel.postMessage(null);
      channel.close();
    }
  } catch (error) {
    failure = String(error && error.message).split('\n')[0];
  }
  if (failure) report(restored ? 'failed' : 'unsafe', failure);
  else report(restored ? 'restored' : 'safe', '');
}

// report tells the engine.
function report(event, reason) {
  const socket = require('net').connect(PORT, ADDRESS);
  socket.on('error', () => {});
  socket.unref();
  socket.end(`${event} ${process.pid} ${reason}\n`);
}

// wait is told of the next save or resume. Only the main thread is.
function wait(Pipe) {
  const handle = new Pipe(0);
  handle.open(fs.openSync(CHECKPOINT, 'r'));
  const socket = new (require('net').Socket)({handle, readable: true, writable: false});
  let text = '';
  socket.on('data', (piece) => {
    text += piece;
    if (!text.includes('\n')) return;
    socket.destroy();
    wait(Pipe); // before it is answered, so that nothing is missed
    told(text.trim());
  });
  socket.on('error', () => {});
  socket.unref();
}

// start arms the hook in this thread. Outside of a sandbox it does nothing.
function start() {
  if (!fs.existsSync(CHECKPOINT)) return;
  threads = require('worker_threads');
  resumes = threads.getEnvironmentData(KEY);
  if (!resumes) {
    resumes = new Int32Array(new SharedArrayBuffer(4));
    threads.setEnvironmentData(KEY, resumes);
  }
  seen = resumes[0];
  environ = readEnviron();
  let draw = () => generator();
  const random = {random() { return draw(); }}.random;
  Object.defineProperty(Math, 'random', {value: random, writable: true, enumerable: false, configurable: true});
  if (!threads.isMainThread) {
    draw = () => {
      if (seen !== resumes[0]) freshen();
      return generator();
    };
    guardThread();
    const channel = new threads.BroadcastChannel(KEY);
    channel.onmessage = takeOver;
    channel.unref();
    return;
  }
  // The event loop reads from any descriptor that can be waited for, but only
  // handles of pipes say so; and only a socket shows what makes them.
  const socket = require('net').connect({path: CHECKPOINT});
  socket.on('error', () => {});
  const Pipe = socket._handle.constructor;
  socket.destroy();
  wait(Pipe);
}

try {
  start();
} catch {
  // The program runs as without us; the engine misses this process's answers.
}
