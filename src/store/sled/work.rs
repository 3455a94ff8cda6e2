//! What one page of a list may cost, counted as it is read. The bounds are on work, not on what fits: a filter that nothing fits
//! must not read a store of millions for one answer.

/// Blocks that one page begins: each is a read of a key or two.
const BLOCKS_MAX: usize = 2048;

/// Events whose states one page looks at: about a hundredth of a second.
const EVENTS_MAX: usize = 50_000;

/// Bytes of heads and bodies that one page reads: some hundredths of a second, since heads are decoded. The last body, or the last
/// block's heads, may go beyond.
const BYTES_MAX: usize = 2 * 1024 * 1024;

/// The work of one page: what is done, and what may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) blocks: usize,
    pub(super) events: usize,
    pub(super) bytes: usize,
    most: [usize; 3],
}

impl Default for Work {
    /// For one page.
    fn default() -> Self {
        Self::bounded(BLOCKS_MAX, EVENTS_MAX, BYTES_MAX)
    }
}

impl Work {
    /// With these bounds.
    pub(super) fn bounded(blocks: usize, events: usize, bytes: usize) -> Self {
        Self { blocks: 0, events: 0, bytes: 0, most: [blocks, events, bytes] }
    }

    /// A block was begun.
    pub(super) fn began(&mut self) {
        self.blocks += 1;
    }

    /// The states of so many events were looked at.
    pub(super) fn looked_at(&mut self, events: usize) {
        self.events += events;
    }

    /// So many bytes of heads or bodies were read.
    pub(super) fn read(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether the page must end.
    pub(super) fn is_done(&self) -> bool {
        [self.blocks, self.events, self.bytes].iter().zip(self.most).any(|(done, most)| *done >= most)
    }

    /// As much again may be done: somewhere else, where there is a reason to look.
    pub(super) fn again(self) -> Self {
        let Self { blocks, events, bytes, most: [b, e, y] } = self;
        Self { most: [blocks + b, events + e, bytes.saturating_add(y)], ..self }
    }
}
