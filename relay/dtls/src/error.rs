//! What can go wrong on our side. Noise from the network is no error: see [`crate::Received`].

use std::fmt;

/// A wrong call or a machine that cannot. No variant carries an address or a key.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The certificate is not one in DER.
    Certificate,
    /// The key is not a private key in DER.
    Key,
    /// The key is not the certificate's.
    Mismatch,
    /// A cell was to be sealed before the association was open, or after it failed.
    NotOpen,
    /// The library refused what it never should.
    Library,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "the certificate of the link key cannot be read (DER, X.509)",
            Self::Key => "the link key cannot be read (DER, PKCS#8)",
            Self::Mismatch => "the link key does not belong to its certificate",
            Self::NotOpen => "the link is not open",
            Self::Library => "the DTLS library refused a setting or a record of ours",
        })
    }
}

impl std::error::Error for Error {}
