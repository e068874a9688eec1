//! Associations over BoringSSL (PROTOCOL.md §2.2). The numbered flow, as the listener sees it:
//!
//! 1. `Handshaking`: ClientHello (two datagrams) in; our flight out; certificate (of a relay) and Finished in.
//! 2. `AwaitFirstCell`: our ACK out, again for each Finished that comes again. Timers still run.
//! 3. `Open` with the first cell: from now on the library is not given, and cannot send, anything but records of one
//!    length. So a Finished that was held up cannot draw an ACK between cells.
//!
//! The connecting side: 1. `Handshaking` until its Finished is acknowledged, not only sent; 2. `Open`.
//! A failed call is answered with silence: whatever the library wrote in it, an alert, is thrown away.

use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::pkey::{PKey, Private};
use boring::ssl::{
    ErrorCode, Ssl, SslAlert, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslStream, SslVerifyError, SslVerifyMode, SslVersion,
};
use boring::x509::{X509Ref, X509};
use foreign_types::ForeignTypeRef;

use crate::wire::{Wire, Writes};
use crate::{library_clock, Association, Error, Pin, Received, State};
use crate::{CELL_OCTETS, FIRST_PREFIX_OCTETS, HANDSHAKE_LIMIT_US, MAX_DATAGRAM_OCTETS, RECORD_OCTETS};

/// Retransmission starts here and doubles (RFC 9147 §5.8.2 proposes 1 s where nothing is known; a lost flight is a call's delay).
const FIRST_TIMEOUT_MS: u32 = 400;
/// First octet of a plaintext handshake record, and of the ciphertext records of DTLS 1.3 (RFC 9147 §4.1).
const PLAINTEXT_HANDSHAKE: u8 = 22;
const CIPHERTEXT: std::ops::RangeInclusive<u8> = 32..=63;

/// A certificate and its private key.
pub struct Identity {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

impl Identity {
    /// Read a certificate and its key, both in DER (the key as PKCS#8).
    pub fn from_der(certificate: &[u8], key: &[u8]) -> Result<Self, Error> {
        let certificate = X509::from_der(certificate).map_err(|_| Error::Certificate)?;
        let key = PKey::private_key_from_der(key).map_err(|_| Error::Key)?;
        let public = certificate.public_key().map_err(|_| Error::Certificate)?;
        if !public.public_eq(&key) {
            return Err(Error::Mismatch);
        }
        Ok(Self { certificate, key })
    }

    /// The pin under which others know this key.
    pub fn pin(&self) -> Result<Pin, Error> {
        pin_of(&self.certificate).ok_or(Error::Certificate)
    }
}

/// Begins incoming associations.
pub struct Listener {
    context: SslContext,
    pin: Pin,
}

impl Listener {
    /// Shows `identity` to all who connect; asks them for a certificate and takes those without.
    pub fn new(identity: &Identity) -> Result<Self, Error> {
        let mut builder = context(Some(identity)).map_err(|_| Error::Library)?;
        // Any key is taken here: the pin goes up to whoever knows the network's descriptors. That the peer has the
        // private key is proved by its CertificateVerify, which the library checks.
        builder.set_custom_verify_callback(SslVerifyMode::PEER, |ssl| match ssl.peer_certificate() {
            Some(certificate) if pin_of(&certificate).is_some() => Ok(()),
            _ => Err(SslVerifyError::Invalid(SslAlert::BAD_CERTIFICATE)),
        });
        Ok(Self { context: builder.build(), pin: identity.pin()? })
    }

    /// The pin under which others know this listener.
    #[must_use]
    pub fn pin(&self) -> &Pin {
        &self.pin
    }

    /// Begin an association with whoever sent the first datagram.
    pub fn accept(&self, now: u64) -> Result<BoringAssociation, Error> {
        let ssl = Ssl::new(&self.context).map_err(|_| Error::Library)?;
        BoringAssociation::new(ssl, false, now)
    }
}

/// Begins outgoing associations.
pub struct Dialer {
    context: SslContext,
}

impl Dialer {
    /// A relay shows its identity, a box none.
    pub fn new(identity: Option<&Identity>) -> Result<Self, Error> {
        Ok(Self { context: context(identity).map_err(|_| Error::Library)?.build() })
    }

    /// Begin an association with the node that has the key of this pin, and no other.
    pub fn connect(&self, pin: Pin, now: u64) -> Result<BoringAssociation, Error> {
        let mut ssl = Ssl::new(&self.context).map_err(|_| Error::Library)?;
        ssl.set_custom_verify_callback(SslVerifyMode::PEER, move |ssl| match ssl.peer_certificate() {
            Some(certificate) if pin_of(&certificate) == Some(pin) => Ok(()),
            _ => Err(SslVerifyError::Invalid(SslAlert::BAD_CERTIFICATE)),
        });
        BoringAssociation::new(ssl, true, now)
    }
}

fn context(identity: Option<&Identity>) -> Result<SslContextBuilder, ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::dtls())?;
    builder.set_min_proto_version(Some(SslVersion::DTLS1_3))?;
    builder.set_max_proto_version(Some(SslVersion::DTLS1_3))?;
    builder.set_curves_list("X25519MLKEM768")?;
    builder.set_options(SslOptions::NO_TICKET | SslOptions::NO_QUERY_MTU);
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_grease_enabled(false);
    if let Some(identity) = identity {
        builder.set_certificate(&identity.certificate)?;
        builder.set_private_key(&identity.key)?;
    }
    library_clock::install(&mut builder);
    Ok(builder)
}

fn pin_of(certificate: &X509Ref) -> Option<Pin> {
    let public = certificate.public_key().ok()?.public_key_to_der().ok()?;
    boring::hash::hash(MessageDigest::sha256(), &public).ok()?.as_ref().try_into().ok()
}

/// One association over BoringSSL. Memory: about 20 kB while it lives, more during the handshake.
pub struct BoringAssociation {
    stream: SslStream<Wire>,
    connecting: bool,
    state: State,
    peer_pin: Option<Pin>,
    give_up_at: u64,
}

impl BoringAssociation {
    fn new(mut ssl: Ssl, connecting: bool, now: u64) -> Result<Self, Error> {
        let mtu = MAX_DATAGRAM_OCTETS - FIRST_PREFIX_OCTETS;
        ssl.set_mtu(mtu as u32).map_err(|_| Error::Library)?;
        set_first_timeout(&ssl, FIRST_TIMEOUT_MS);
        let stream = SslStream::new(ssl, Wire::new()).map_err(|_| Error::Library)?;
        let mut association = Self { stream, connecting, state: State::Handshaking, peer_pin: None, give_up_at: now + HANDSHAKE_LIMIT_US };
        if connecting {
            library_clock::set(now);
            association.shake();
        }
        Ok(association)
    }

    /// Drive the handshake as far as it goes.
    fn shake(&mut self) {
        let outcome = if self.connecting { self.stream.connect() } else { self.stream.accept() };
        match outcome {
            Ok(()) => {
                self.peer_pin = self.stream.ssl().peer_certificate().and_then(|certificate| pin_of(&certificate));
                if !self.connecting {
                    self.state = State::AwaitFirstCell;
                }
            }
            Err(error) if error.code() == ErrorCode::WANT_READ => {}
            Err(_) => self.fail(),
        }
    }

    fn fail(&mut self) {
        self.state = State::Failed;
        self.stream.get_mut().set_writes(Writes::Discard);
        self.stream.get_mut().shrink();
    }

    fn open(&mut self) {
        self.state = State::Open;
        self.stream.get_mut().set_writes(Writes::Discard);
        self.stream.get_mut().shrink();
    }

    /// Read behind the handshake: an ACK (which yields nothing), or a cell.
    fn read(&mut self, cell: &mut [u8; CELL_OCTETS]) -> Received {
        // One octet more than a cell: a longer record is told from a cell, which SSL_read would cut.
        let mut plaintext = [0; CELL_OCTETS + 1];
        match self.stream.ssl_read(&mut plaintext) {
            Ok(CELL_OCTETS) => {
                cell.copy_from_slice(&plaintext[..CELL_OCTETS]);
                Received::Cell
            }
            Ok(_) => Received::Misfit,
            Err(error) if error.code() == ErrorCode::WANT_READ => Received::Invalid,
            Err(_) => {
                self.fail();
                Received::Invalid
            }
        }
    }

    fn handle_handshake(&mut self, datagram: &[u8], cell: &mut [u8; CELL_OCTETS]) -> Received {
        // A plaintext alert is unread: anybody could send one, and nobody of ours does.
        if !matches!(datagram.first(), Some(first) if *first == PLAINTEXT_HANDSHAKE || CIPHERTEXT.contains(first)) {
            return Received::Misfit;
        }
        self.stream.get_mut().put(datagram);
        if !self.stream.ssl().is_init_finished() {
            self.shake();
            if self.state == State::Failed || !self.stream.ssl().is_init_finished() {
                return Received::Handshake;
            }
        }
        match self.read(cell) {
            Received::Cell if self.state == State::AwaitFirstCell => {
                self.open();
                Received::Cell
            }
            _ => {
                if self.state == State::Handshaking && self.connecting && self.is_acknowledged() {
                    self.open();
                }
                Received::Handshake
            }
        }
    }

    /// Tell whether nothing of our handshake waits for an acknowledgement.
    #[allow(unsafe_code)] // the binding has no safe form of this question
    fn is_acknowledged(&self) -> bool {
        // SAFETY: the SSL is alive as long as the stream is; the call only reads.
        unsafe { boring_sys::SSL_is_dtls_handshake_idle(self.stream.ssl().as_ptr()) == 1 }
    }
}

impl Association for BoringAssociation {
    fn handle_datagram(&mut self, now: u64, datagram: &[u8], cell: &mut [u8; CELL_OCTETS]) -> Received {
        match self.state {
            State::Open => {
                if datagram.len() != RECORD_OCTETS || !CIPHERTEXT.contains(&datagram[0]) {
                    return Received::Misfit;
                }
                library_clock::set(now);
                self.stream.get_mut().put(datagram);
                self.read(cell)
            }
            State::Handshaking | State::AwaitFirstCell => {
                library_clock::set(now);
                self.handle_handshake(datagram, cell)
            }
            State::Failed => Received::Misfit,
        }
    }

    fn seal(&mut self, cell: &[u8; CELL_OCTETS], datagram: &mut [u8; RECORD_OCTETS]) -> Result<(), Error> {
        if self.state != State::Open {
            return Err(Error::NotOpen);
        }
        self.stream.get_mut().set_writes(Writes::Record);
        let written = self.stream.ssl_write(cell);
        let taken = self.stream.get_mut().take_record(datagram);
        if matches!(written, Ok(CELL_OCTETS)) && taken {
            Ok(())
        } else {
            self.fail();
            Err(Error::Library)
        }
    }

    fn poll_datagram(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().pop()
    }

    fn next_timeout(&self, now: u64) -> Option<u64> {
        if self.state == State::Open || self.state == State::Failed {
            return None;
        }
        library_clock::set(now);
        Some(library_timeout_us(self.stream.ssl()).map_or(self.give_up_at, |wait| self.give_up_at.min(now + wait)))
    }

    fn handle_timeout(&mut self, now: u64) {
        if self.state == State::Open || self.state == State::Failed {
            return;
        }
        if now >= self.give_up_at {
            return self.fail();
        }
        library_clock::set(now);
        if !handle_library_timeout(&self.stream) {
            self.fail();
        }
    }

    fn state(&self) -> State {
        self.state
    }

    fn peer_pin(&self) -> Option<Pin> {
        self.peer_pin
    }

    fn peer_certificate(&self) -> Option<Vec<u8>> {
        self.stream.ssl().peer_certificate()?.to_der().ok()
    }
}

#[allow(unsafe_code)] // the binding has no safe form of this setting
pub(crate) fn set_first_timeout(ssl: &Ssl, timeout_ms: u32) {
    // SAFETY: the SSL is alive; the call stores a number.
    unsafe { boring_sys::DTLSv1_set_initial_timeout_duration(ssl.as_ptr(), timeout_ms) };
}

#[allow(unsafe_code)] // the binding has no safe form of this question
pub(crate) fn library_timeout_us(ssl: &boring::ssl::SslRef) -> Option<u64> {
    let mut left = boring_sys::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: the SSL is alive; `left` outlives the call, which fills it where it returns 1.
    let set = unsafe { boring_sys::DTLSv1_get_timeout(ssl.as_ptr(), &mut left) } == 1;
    set.then(|| u64::try_from(left.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(left.tv_usec).unwrap_or(0))
}

/// Repeat what the library's timers say; false where it has given up.
#[allow(unsafe_code)] // the binding has no safe form of this call
pub(crate) fn handle_library_timeout(stream: &SslStream<Wire>) -> bool {
    // SAFETY: the SSL is alive and used by this thread only; writes go to its Wire, which does not call back.
    unsafe { boring_sys::DTLSv1_handle_timeout(stream.ssl().as_ptr()) >= 0 }
}
