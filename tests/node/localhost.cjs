// Loaded first: names under localhost are this machine (RFC 6761, 6.3), which not every system's resolver knows.
const dns = require('node:dns');

const here = (name) => (/\.localhost$/.test(name) ? '127.0.0.1' : name);
const { lookup, promises } = dns;
const { lookup: lookupSoon } = promises;
dns.lookup = (name, ...rest) => lookup(here(name), ...rest);
promises.lookup = (name, ...rest) => lookupSoon(here(name), ...rest);
