//! The door for browsers and peers over HTTP.

pub mod pages;
