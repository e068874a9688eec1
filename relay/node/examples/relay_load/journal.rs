//! What went over each link, in its order: with a capture, in which cells cannot be told apart, the n-th cell of a link is the n-th datagram.

use std::io::Write;

/// Cells of all links of one direction: link, circuit, slot, when (us, modulo 2^32) the load had it. Bounded by how long the load runs; kept only where it is asked for.
pub(crate) struct Journal(Option<Vec<[u32; 4]>>);

impl Journal {
    pub(crate) fn new(kept: bool) -> Self {
        Self(kept.then(Vec::new))
    }

    pub(crate) fn add(&mut self, link: usize, circuit: u32, slot: u32, now: u64) {
        if let Some(cells) = &mut self.0 {
            cells.push([link as u32, circuit, slot, now as u32]);
        }
    }
}

/// Write journals one after the other, each behind its number of cells; all numbers u32, little-endian.
pub(crate) fn write(path: &str, journals: [&Journal; 4]) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    for journal in journals {
        let cells = journal.0.as_deref().unwrap_or_default();
        out.write_all(&(cells.len() as u32).to_le_bytes())?;
        for number in cells.iter().flatten() {
            out.write_all(&number.to_le_bytes())?;
        }
    }
    out.flush()
}
