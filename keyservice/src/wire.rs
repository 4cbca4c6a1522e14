//! Values as bytes, for a gateway that reaches the service in another process.
//!
//! Both ends are the same program, so the encoding has no versions. It is strict all the same: what is left over, cut
//! short or unknown is an error. No key material is ever in it, except wrapped; plaintexts are, because that is what
//! is asked for.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

pub use crate::codec::{Reader, Writer, append};
use crate::error::Error;

/// The most different texts of the program's own that one [`Words`] remembers.
const MAX_WORDS: usize = 1_024;
/// The longest text of the program's own, in bytes.
const MAX_WORD: usize = 512;

/// Texts of the program's own (codes, remedies, names of fields) that came over from the other process: each is kept
/// once and for good, so that it can be what it is in one process, `&'static str`.
#[derive(Debug, Default)]
pub struct Words(Mutex<BTreeSet<&'static str>>);

impl Words {
    /// The text, kept. There are only as many as the program has; should there be more, they are no longer told apart.
    pub(crate) fn keep(&self, text: &str) -> &'static str {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match words.get(text) {
            Some(known) => known,
            None if words.len() >= MAX_WORDS || text.len() > MAX_WORD => "something",
            None => {
                let kept: &'static str = Box::leak(text.to_owned().into_boxed_str());
                words.insert(kept);
                kept
            }
        }
    }
}

/// A value that can cross.
pub trait Wire: Sized {
    /// Appends the value.
    fn write(&self, out: Writer) -> Writer;

    /// Takes the value off.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    fn read(from: &mut Reader<'_>) -> Result<Self, Error>;
}

/// The bytes of one value.
pub fn to_bytes(value: &impl Wire) -> Zeroizing<Vec<u8>> {
    value.write(Writer::with_capacity(1_024)).finish()
}

/// The one value that the bytes are.
///
/// # Errors
/// [`Error::Malformed`].
pub fn from_bytes<T: Wire>(bytes: &[u8], what: &'static str, words: &Words) -> Result<T, Error> {
    let mut reader = Reader::new(bytes, what).with_words(words);
    let value = T::read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

impl Wire for () {
    fn write(&self, out: Writer) -> Writer {
        out
    }

    fn read(_: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(())
    }
}

impl Wire for bool {
    fn write(&self, out: Writer) -> Writer {
        out.u8(u8::from(*self))
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        match from.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(from.malformed()),
        }
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn write(&self, out: Writer) -> Writer {
                out.array(&self.to_le_bytes())
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
                from.array().map(Self::from_le_bytes)
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, i64);

impl<const N: usize> Wire for [u8; N] {
    fn write(&self, out: Writer) -> Writer {
        out.array(self)
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        from.array()
    }
}

impl Wire for String {
    fn write(&self, out: Writer) -> Writer {
        out.bytes(self.as_bytes())
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        let bytes = from.bytes()?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| from.malformed())
    }
}

impl Wire for &'static str {
    fn write(&self, out: Writer) -> Writer {
        out.bytes(self.as_bytes())
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        let text = std::str::from_utf8(from.bytes()?).map_err(|_| from.malformed())?;
        Ok(from.keep(text))
    }
}

/// Lists are behind their length; a list of bytes is no different from any other.
impl<T: Wire> Wire for Vec<T> {
    fn write(&self, out: Writer) -> Writer {
        self.iter().fold(out.u64(self.len() as u64), |out, one| one.write(out))
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        let len = from.count()?;
        (0..len).map(|_| T::read(from)).collect()
    }
}

impl<T: Wire> Wire for Option<T> {
    fn write(&self, out: Writer) -> Writer {
        match self {
            None => out.u8(0),
            Some(value) => value.write(out.u8(1)),
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        if bool::read(from)? { T::read(from).map(Some) } else { Ok(None) }
    }
}

impl<T: Wire> Wire for Box<T> {
    fn write(&self, out: Writer) -> Writer {
        self.as_ref().write(out)
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        T::read(from).map(Self::new)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn write(&self, out: Writer) -> Writer {
        self.1.write(self.0.write(out))
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        Ok((A::read(from)?, B::read(from)?))
    }
}

impl<A: Wire, B: Wire, C: Wire> Wire for (A, B, C) {
    fn write(&self, out: Writer) -> Writer {
        self.2.write(self.1.write(self.0.write(out)))
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        Ok((A::read(from)?, B::read(from)?, C::read(from)?))
    }
}

impl<T: Wire> Wire for Result<T, Error> {
    fn write(&self, out: Writer) -> Writer {
        match self {
            Ok(value) => value.write(out.u8(0)),
            Err(error) => error.write(out.u8(1)),
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        if bool::read(from)? { Error::read(from).map(Err) } else { T::read(from).map(Ok) }
    }
}

/// A value with fields crosses as its fields, in this order. A field that is left out does not compile.
macro_rules! fields {
    ($($type:ident { $($field:ident),* $(,)? })*) => {$(
        impl Wire for $type {
            fn write(&self, out: Writer) -> Writer {
                let Self { $($field),* } = self;
                $(let out = $field.write(out);)*
                out
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
                $(let $field = Wire::read(from)?;)*
                Ok(Self { $($field),* })
            }
        }
    )*};
}

/// One of several crosses as its number and what it holds. A variant that is left out does not compile.
macro_rules! variants {
    ($($type:ident {
        $($number:literal $variant:ident $({ $($field:ident),* })? $(( $($inner:ident),* ))?),* $(,)?
    })*) => {$(
        impl Wire for $type {
            fn write(&self, out: Writer) -> Writer {
                match self {
                    $(Self::$variant $({ $($field),* })? $(( $($inner),* ))? => {
                        let out = out.u8($number);
                        $($(let out = $field.write(out);)*)?
                        $($(let out = $inner.write(out);)*)?
                        out
                    })*
                }
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
                match from.u8()? {
                    $($number => {
                        $($(let $field = Wire::read(from)?;)*)?
                        $($(let $inner = Wire::read(from)?;)*)?
                        Ok(Self::$variant $({ $($field),* })? $(( $($inner),* ))?)
                    })*
                    _ => Err(from.malformed()),
                }
            }
        }
    )*};
}

/// A value with a stable name crosses as its name.
macro_rules! named {
    ($($type:ty),* $(,)?) => {$(
        impl Wire for $type {
            fn write(&self, out: Writer) -> Writer {
                out.bytes(self.as_str().as_bytes())
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
                std::str::from_utf8(from.bytes()?).map_err(|_| from.malformed())?.parse()
            }
        }
    )*};
}

mod values;

#[cfg(test)]
mod tests;
