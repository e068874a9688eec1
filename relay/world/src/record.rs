//! What is written of each cell and of each RTP datagram that leaves a node.

/// Marks the record of an RTP datagram in the place of the receiving node.
pub const PHONE: u16 = 0xffff;
/// When a cell that was lost arrived.
pub const NEVER: i64 = i64::MAX;

/// One cell on one wire, little-endian: left i64 | arrived i64 | from u16 | to u16 | circuit u32 | slot u32 | the body's first 8 octets. Times are true
/// time in microseconds since all circuits stood. Of an RTP datagram `circuit` is the timestamp, `slot` the sequence number, and in the place of the body
/// stand its port u16, how many octets of its frame are not what was said u16, and the frame's first four, which are its number.
pub struct Record {
    pub left: i64,
    pub arrived: i64,
    pub from: u16,
    pub to: u16,
    pub circuit: u32,
    pub slot: u32,
    pub body: [u8; 8],
}

impl Record {
    pub fn serialise(&self) -> [u8; 36] {
        let mut octets = [0; 36];
        octets[..8].copy_from_slice(&self.left.to_le_bytes());
        octets[8..16].copy_from_slice(&self.arrived.to_le_bytes());
        octets[16..18].copy_from_slice(&self.from.to_le_bytes());
        octets[18..20].copy_from_slice(&self.to.to_le_bytes());
        octets[20..24].copy_from_slice(&self.circuit.to_le_bytes());
        octets[24..28].copy_from_slice(&self.slot.to_le_bytes());
        octets[28..].copy_from_slice(&self.body);
        octets
    }
}
