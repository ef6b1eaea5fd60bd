// Sends what it is given to a port, takes the beginning of the answer and then reads no more.

import { connect } from 'node:net';

const request = await Bun.stdin.text();
const socket = connect(Number(process.env['PORT']), '127.0.0.1');
socket.once('data', () => socket.pause());
socket.write(request);
// A socket that is not read does not keep the process alive.
setInterval(() => undefined, 60_000);
