// Answers what guest/draw_linux.go describes, from two threads of Node.
'use strict';
const started = Date.now() / 1000;
const crypto = require('crypto');
const http = require('http');
const os = require('os');
const {Worker, isMainThread, parentPort} = require('worker_threads');
const {random} = Math; // as libraries do

function draw() {
  const key = crypto.generateKeyPairSync('ec', {namedCurve: 'P-256'}).privateKey;
  return {
    'randomBytes': crypto.randomBytes(16).toString('hex'),
    'randomUUID': crypto.randomUUID(),
    'webcrypto': crypto.webcrypto.randomUUID(),
    'randomInt': String(crypto.randomInt(2 ** 47)),
    'ECDH': key.export({format: 'jwk'}).d,
    'Math.random': String(random()),
  };
}

function main() {
  draw(); // so that every generator is seeded, and what is drawn ahead is there
  process.env.OWN = 'kept';
  const worker = new Worker(__filename);
  const {uid, gid} = os.userInfo();
  const server = http.createServer((request, response) => {
    worker.once('message', (unique) => {
      for (const [name, value] of Object.entries(draw())) unique[`main ${name}`] = value;
      response.end(JSON.stringify({
        started, unique, now: Date.now() / 1000, cloned: {}, env: {...process.env},
        same: {directory: process.cwd(), host: os.hostname(), user: `${uid} ${gid}`, argv: String(process.argv), options: String(process.execArgv)},
      }));
    });
    worker.postMessage('draw');
  });
  worker.once('message', () => server.listen(8080, '127.0.0.1', () => console.log('ready')));
}

if (isMainThread) {
  main();
} else {
  parentPort.on('message', () => parentPort.postMessage(draw()));
  parentPort.postMessage(draw());
}
