//! Keys of SRTP by a handshake with one phone. Spec: RFC 5763, RFC 5764, RFC 8122 §5. The numbered flow:
//!
//! 1. `Shaking`: flights both ways; each shows a certificate, and the phone's must be the one of its SDP.
//! 2. `Standing`: the keys were exported, once; the last flight is said again where the phone did not hear it.
//! 3. `Failed`, for ever: another certificate, no suite in common, or too late.
//!
//! What is NOT here: the media port (`voicebox-node`), SDP, the packets. Departures from RFC 5764: DTLS 1.2 only, one that offers less is refused; no
//! MKI; neither alert nor close is sent or heeded, a call ends by SIP.

use boring::asn1::Asn1Time;
use boring::bn::{BigNum, MsbOption};
use boring::ec::{EcGroup, EcKey};
use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::PKey;
use boring::ssl::{
    ErrorCode, Ssl, SslAlert, SslContext, SslMethod, SslOptions, SslRef, SslSessionCacheMode, SslStream, SslVerifyError, SslVerifyMode, SslVersion,
};
use boring::x509::{X509Name, X509};
use voicebox_srtp::{Master, Suite};
use zeroize::Zeroizing;

use crate::association::{handle_library_timeout, library_timeout_us, set_first_timeout, Identity};
use crate::wire::{Wire, Writes};
use crate::{library_clock, Error, MAX_DATAGRAM_OCTETS};

/// How long a handshake may take: some phones begin theirs only when somebody has picked up.
const LIMIT_US: u64 = 20_000_000;
/// A phone is at home, and may not have our answer yet when our first flight comes; this doubles each time.
const FIRST_TIMEOUT_MS: u32 = 100;
/// First octets of records that are looked at: change of cipher, handshake. An alert in the clear could be anybody's.
const RECORDS: [u8; 2] = [20, 22];
/// Datagrams that are looked at in one association; a handshake without losses takes four.
const MAX_DATAGRAMS: u32 = 128;
/// Of the certificate: the same for every box and every call, and what every phone's library can read.
const COMMON_NAME: &str = "phone";
const NOT_BEFORE: &str = "20000101000000Z";
const NOT_AFTER: &str = "20491231235959Z";
const SERIAL_BITS: i32 = 127;
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
                       ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA";
const GROUPS: &str = "X25519:P-256:P-384";
/// Profiles by their names in the library, in our order, and the suites that they are.
const PROFILES: [(&str, Suite); 3] =
    [("SRTP_AEAD_AES_128_GCM", Suite::Gcm128), ("SRTP_AEAD_AES_256_GCM", Suite::Gcm256), ("SRTP_AES128_CM_SHA1_80", Suite::AesCm80)];
/// RFC 5764 §4.2.
const LABEL: &str = "EXTRACTOR-dtls_srtp";
/// Keys and salts of both directions, at most.
const MAX_EXPORTED_OCTETS: usize = 2 * (32 + 14);

impl Identity {
    /// Make a key and a certificate that nobody has seen, for one call: nothing in it but the key tells it from another.
    pub fn fresh() -> Result<Self, Error> {
        fresh().map_err(|_| Error::Library)
    }

    /// The SHA-256 of the certificate in DER, as SDP says it. Spec: RFC 8122 §5.
    pub fn fingerprint(&self) -> Result<[u8; 32], Error> {
        let digest = self.certificate.digest(MessageDigest::sha256()).map_err(|_| Error::Certificate)?;
        digest.as_ref().try_into().map_err(|_| Error::Certificate)
    }

    /// The certificate in DER, which the other side is shown.
    pub fn certificate_der(&self) -> Result<Vec<u8>, Error> {
        self.certificate.to_der().map_err(|_| Error::Certificate)
    }
}

fn fresh() -> Result<Identity, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut name = X509Name::builder()?;
    name.append_entry_by_text("CN", COMMON_NAME)?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(SERIAL_BITS, MsbOption::ONE, true)?;
    let serial = serial.to_asn1_integer()?;
    let (not_before, not_after) = (Asn1Time::from_str(NOT_BEFORE)?, Asn1Time::from_str(NOT_AFTER)?);
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_not_before(&not_before)?;
    builder.set_not_after(&not_after)?;
    builder.set_pubkey(&key)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok(Identity { certificate: builder.build(), key })
}

/// The digest of a phone's certificate, from its SDP.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    octets: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Fingerprint {
    /// Take the octets of a digest; `None` where the name in SDP is not spoken here, or the length is not its own.
    #[must_use]
    pub fn new(hash: &str, octets: &[u8]) -> Option<Self> {
        let (hash, length) = match hash {
            "sha-256" => (Hash::Sha256, 32),
            "sha-384" => (Hash::Sha384, 48),
            "sha-512" => (Hash::Sha512, 64),
            _ => return None,
        };
        (octets.len() == length).then(|| Self { hash, octets: octets.to_vec() })
    }

    fn is_of(&self, ssl: &SslRef) -> bool {
        let digest = match self.hash {
            Hash::Sha256 => MessageDigest::sha256(),
            Hash::Sha384 => MessageDigest::sha384(),
            Hash::Sha512 => MessageDigest::sha512(),
        };
        ssl.peer_certificate().and_then(|certificate| certificate.digest(digest).ok()).is_some_and(|shown| *shown == *self.octets)
    }
}

/// The keys of both directions, by a handshake or by SDP.
pub struct Keys {
    /// Under which the box sends.
    pub send: Master,
    /// Under which the phone does.
    pub receive: Master,
}

/// Where a handshake with a phone is, in protocol order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyingState {
    /// Flights.
    Shaking,
    /// The keys are known to both.
    Standing,
    /// For ever.
    Failed,
}

/// One handshake with one phone. Contract as of [`crate::Association`].
pub struct Keying {
    stream: SslStream<Wire>,
    active: bool,
    state: KeyingState,
    give_up_at: u64,
    taken: u32,
}

impl Keying {
    /// Begin: `active` as the side that says hello (RFC 4145), and with the phone whose certificate has this fingerprint only.
    pub fn new(identity: &Identity, active: bool, phone: Fingerprint, now: u64) -> Result<Self, Error> {
        let ssl = prepared(identity, phone).map_err(|_| Error::Library)?;
        set_first_timeout(&ssl, FIRST_TIMEOUT_MS);
        let stream = SslStream::new(ssl, Wire::new()).map_err(|_| Error::Library)?;
        let mut keying = Self { stream, active, state: KeyingState::Shaking, give_up_at: now + LIMIT_US, taken: 0 };
        if active {
            library_clock::set(now);
            keying.shake();
        }
        Ok(keying)
    }

    /// Where it is.
    #[must_use]
    pub const fn state(&self) -> KeyingState {
        self.state
    }

    /// Say whether nothing of the phone came as yet.
    #[must_use]
    pub const fn is_unheard(&self) -> bool {
        self.taken == 0
    }

    /// Take a datagram of the phone; the keys, once, with the one that ends the handshake.
    pub fn handle_datagram(&mut self, now: u64, datagram: &[u8]) -> Option<Keys> {
        if self.state == KeyingState::Failed || self.taken >= MAX_DATAGRAMS || !datagram.first().is_some_and(|first| RECORDS.contains(first)) {
            return None;
        }
        self.taken += 1;
        library_clock::set(now);
        self.stream.get_mut().put(datagram);
        if self.state == KeyingState::Standing {
            // The phone's last flight again draws ours again; what else may be in it is nobody's.
            let _ = self.stream.ssl_read(&mut [0; 64]);
            return None;
        }
        self.shake();
        let keys = (self.state == KeyingState::Standing).then(|| self.export()).flatten();
        if self.state == KeyingState::Standing && keys.is_none() {
            self.fail();
        }
        keys
    }

    /// Next datagram to send, oldest first.
    pub fn poll_datagram(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().pop()
    }

    /// When [`Keying::handle_timeout`] wants to be called; `None` once it stands or has failed.
    #[must_use]
    pub fn next_timeout(&self, now: u64) -> Option<u64> {
        if self.state != KeyingState::Shaking {
            return None;
        }
        library_clock::set(now);
        Some(library_timeout_us(self.stream.ssl()).map_or(self.give_up_at, |wait| self.give_up_at.min(now + wait)))
    }

    /// Repeat what was not answered, or give up.
    pub fn handle_timeout(&mut self, now: u64) {
        if self.state != KeyingState::Shaking {
            return;
        }
        library_clock::set(now);
        if now >= self.give_up_at || !handle_library_timeout(&self.stream) {
            self.fail();
        }
    }

    fn shake(&mut self) {
        match if self.active { self.stream.connect() } else { self.stream.accept() } {
            Ok(()) => self.state = KeyingState::Standing,
            Err(error) if error.code() == ErrorCode::WANT_READ => {}
            Err(_) => self.fail(),
        }
    }

    fn fail(&mut self) {
        self.state = KeyingState::Failed;
        self.stream.get_mut().set_writes(Writes::Discard);
    }

    /// Spec: RFC 5764 §4.2: keys of client and server, then their salts.
    fn export(&self) -> Option<Keys> {
        let chosen = self.stream.ssl().selected_srtp_profile()?.name();
        let suite = PROFILES.iter().find(|(name, _)| *name == chosen)?.1;
        let (key, salt) = (suite.key_octets(), suite.salt_octets());
        let mut exported = Zeroizing::new([0; MAX_EXPORTED_OCTETS]);
        let exported = exported.get_mut(..2 * (key + salt))?;
        self.stream.ssl().export_keying_material(exported, LABEL, None).ok()?;
        let (keys, salts) = exported.split_at(2 * key);
        let master = |side: usize| Master::new(suite, &Zeroizing::new([&keys[side * key..][..key], &salts[side * salt..][..salt]].concat()));
        let (client, server) = (master(0)?, master(1)?);
        Some(if self.active { Keys { send: client, receive: server } } else { Keys { send: server, receive: client } })
    }
}

fn prepared(identity: &Identity, phone: Fingerprint) -> Result<Ssl, ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::dtls())?;
    builder.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    builder.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    builder.set_cipher_list(CIPHERS)?;
    builder.set_curves_list(GROUPS)?;
    builder.set_options(SslOptions::NO_TICKET | SslOptions::NO_QUERY_MTU);
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_grease_enabled(false);
    builder.set_tlsext_use_srtp(&PROFILES.map(|(name, _)| name).join(":"))?;
    builder.set_certificate(&identity.certificate)?;
    builder.set_private_key(&identity.key)?;
    builder.set_custom_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, move |ssl| {
        if phone.is_of(ssl) {
            Ok(())
        } else {
            Err(SslVerifyError::Invalid(SslAlert::BAD_CERTIFICATE))
        }
    });
    library_clock::install(&mut builder);
    let mut ssl = Ssl::new(&builder.build())?;
    ssl.set_mtu(MAX_DATAGRAM_OCTETS as u32)?;
    Ok(ssl)
}
