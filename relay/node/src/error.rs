//! What can go wrong on our side. Noise from the network is counted, never an error.

use std::fmt;

/// Whose fault it is, in the words of `voicebox/errors.py`. No text carries an address or a key.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A wrong call (LocalError).
    Local(&'static str),
    /// This machine cannot do it (HostError).
    Host(&'static str),
    /// An invariant of ours does not hold (Bug).
    Bug(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(text) | Self::Host(text) | Self::Bug(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

impl From<voicebox_dtls::Error> for Error {
    fn from(error: voicebox_dtls::Error) -> Self {
        match error {
            voicebox_dtls::Error::Certificate => Self::Local("the certificate of the link key cannot be read (DER, X.509)"),
            voicebox_dtls::Error::Key => Self::Local("the link key cannot be read (DER, PKCS#8)"),
            voicebox_dtls::Error::Mismatch => Self::Local("the link key does not belong to its certificate"),
            _ => Self::Bug("the DTLS library refused what it never should"),
        }
    }
}
