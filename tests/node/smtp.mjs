// A mail server as they are in the world: STARTTLS, authentication, and a moment's unwillingness if asked for.
// CERT, KEY: files; SMTP_USER, SMTP_PASS: the one account; REFUSE: how many recipients are told to come back later.
// Prints its port, then a JSON line for each letter it took; ends when its standard input does.
import fs from 'node:fs';
import { SMTPServer } from 'smtp-server';

const { CERT, KEY, SMTP_USER, SMTP_PASS } = process.env;
let refusals = Number(process.env.REFUSE || 0);
const later = () => Object.assign(new Error('4.3.0 come back later'), { responseCode: 451 });

const server = new SMTPServer({
  cert: fs.readFileSync(CERT),
  key: fs.readFileSync(KEY),
  minVersion: 'TLSv1.2',
  disableReverseLookup: true,
  onAuth: (auth, session, done) =>
    session.secure && auth.username === SMTP_USER && auth.password === SMTP_PASS
      ? done(null, { user: auth.username })
      : done(new Error('no')),
  onRcptTo: (_address, _session, done) => (refusals-- > 0 ? done(later()) : done()),
  onData: (stream, session, done) => {
    const chunks = [];
    stream.on('data', (chunk) => chunks.push(chunk));
    stream.on('end', () => {
      const { envelope, secure, user } = session;
      const to = envelope.rcptTo.map((one) => one.address);
      console.log(JSON.stringify({ to, secure, user, letter: Buffer.concat(chunks).toString('utf8') }));
      done();
    });
  },
});
server.on('error', (error) => console.error(error.message));
server.listen(0, '127.0.0.1', () => console.log(server.server.address().port));
process.stdin.resume().on('end', () => process.exit(0));
