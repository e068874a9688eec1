//! The octets between the library and us: each read gives it one datagram, each write is one datagram.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Read, Result, Write};

use crate::RECORD_OCTETS;

/// A handshake flight is three datagrams; more than this many waiting means that nobody drains.
const MAX_WAITING: usize = 32;

/// What is done with a datagram that the library writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// The handshake: queue it.
    Queue,
    /// A record with a cell: keep it for [`Wire::take_record`].
    Record,
    /// Nothing may leave: the association has failed, or cells flow and this is no cell.
    Discard,
}

/// The library's transport.
pub(crate) struct Wire {
    incoming: Vec<u8>,
    waiting: bool,
    outgoing: VecDeque<Vec<u8>>,
    record: [u8; RECORD_OCTETS],
    record_written: bool,
    writes: Writes,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self {
            incoming: Vec::with_capacity(RECORD_OCTETS),
            waiting: false,
            outgoing: VecDeque::new(),
            record: [0; RECORD_OCTETS],
            record_written: false,
            writes: Writes::Queue,
        }
    }

    pub(crate) fn put(&mut self, datagram: &[u8]) {
        self.incoming.clear();
        self.incoming.extend_from_slice(datagram);
        self.waiting = true;
    }

    pub(crate) fn set_writes(&mut self, writes: Writes) {
        if writes == Writes::Discard {
            self.outgoing.clear();
        }
        self.writes = writes;
    }

    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// Copy out the record that was written since [`Writes::Record`] was set; false where none was, or of another length.
    pub(crate) fn take_record(&mut self, datagram: &mut [u8; RECORD_OCTETS]) -> bool {
        let written = std::mem::take(&mut self.record_written);
        if written {
            datagram.copy_from_slice(&self.record);
        }
        self.writes = Writes::Discard;
        written
    }

    /// Forget what the library left unread, and free the handshake's larger buffer.
    pub(crate) fn shrink(&mut self) {
        self.incoming = Vec::with_capacity(RECORD_OCTETS);
        self.waiting = false;
        self.outgoing = VecDeque::new();
    }
}

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        if !self.waiting {
            return Err(Error::from(ErrorKind::WouldBlock));
        }
        self.waiting = false;
        // A datagram longer than the library's buffer would be no record of DTLS; it is cut, as recv() does.
        let length = self.incoming.len().min(out.len());
        out[..length].copy_from_slice(&self.incoming[..length]);
        Ok(length)
    }
}

impl Write for Wire {
    fn write(&mut self, datagram: &[u8]) -> Result<usize> {
        match self.writes {
            Writes::Queue => {
                if self.outgoing.len() < MAX_WAITING {
                    self.outgoing.push_back(datagram.to_vec());
                }
            }
            Writes::Record => {
                if datagram.len() == RECORD_OCTETS && !self.record_written {
                    self.record.copy_from_slice(datagram);
                    self.record_written = true;
                }
            }
            Writes::Discard => {}
        }
        Ok(datagram.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
