//! The cell: `circuit u32 | slot u32 | body 248`, big-endian (PROTOCOL.md §3). Any 256 octets are a cell.

use crate::ids::{CircId, Slot};
pub use crate::io::CELL_OCTETS;

/// Octets of a cell's body.
pub const BODY_OCTETS: usize = 248;

/// A whole cell.
pub type Cell = [u8; CELL_OCTETS];

/// The body of a cell.
pub type Body = [u8; BODY_OCTETS];

/// Put a cell together.
#[must_use]
pub fn serialise_cell(circuit: CircId, slot: Slot, body: &Body) -> Cell {
    let mut cell = [0; CELL_OCTETS];
    cell[..4].copy_from_slice(&circuit.0.to_be_bytes());
    cell[4..8].copy_from_slice(&slot.0.to_be_bytes());
    cell[8..].copy_from_slice(body);
    cell
}

/// Take a cell apart.
#[must_use]
pub fn parse_cell(cell: &Cell) -> (CircId, Slot, Body) {
    let [c0, c1, c2, c3, s0, s1, s2, s3, rest @ ..] = cell;
    (CircId(u32::from_be_bytes([*c0, *c1, *c2, *c3])), Slot(u32::from_be_bytes([*s0, *s1, *s2, *s3])), *rest)
}

/// Return what a cell has in the place of a circuit's number.
#[must_use]
pub const fn circuit_of(cell: &Cell) -> CircId {
    CircId(u32::from_be_bytes([cell[0], cell[1], cell[2], cell[3]]))
}

/// Say whether a cell is of a metered circuit and has an odd number, which none of it has (PROTOCOL.md §5.7).
#[must_use]
pub const fn is_out_of_stride(cell: &Cell) -> bool {
    cell[0] & 0x80 != 0 && cell[7] & 1 != 0
}

/// Say whether a body begins with 16 zero octets: speech, or an opened end-to-end cell (PROTOCOL.md §3.1, §9.1).
#[must_use]
pub fn shows_zeros(body: &Body) -> bool {
    body[..16] == [0; 16]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::METERED;

    #[test]
    fn parse_and_serialise_are_inverses() {
        let mut cell = [0; CELL_OCTETS];
        for (index, octet) in cell.iter_mut().enumerate() {
            *octet = index as u8;
        }
        let (circuit, slot, body) = parse_cell(&cell);
        assert_eq!((circuit.0, slot.0, body[0], body[247]), (0x0001_0203, 0x0405_0607, 8, 255));
        assert_eq!(serialise_cell(circuit, slot, &body), cell);
        assert!(!is_out_of_stride(&cell), "not metered");
        for (circuit, slot, out) in [(METERED | 1, 6, false), (METERED | 1, 7, true), (u32::MAX, u32::MAX, true), (METERED - 1, 7, false)] {
            assert_eq!(is_out_of_stride(&serialise_cell(CircId(circuit), Slot(slot), &body)), out);
        }
    }
}
