// Loaded first: names under localhost are this machine (RFC 6761, 6.3), which not every system's resolver knows.
const dns = require('node:dns');

const { lookup } = dns;
dns.lookup = (name, options, callback) => lookup(/\.localhost$/.test(name) ? '127.0.0.1' : name, options, callback);
