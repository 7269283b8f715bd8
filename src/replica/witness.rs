//! What a witness says of a journal. The witness is a note, kept outside the data directory, of how
//! far the journal got. It outlives the process and not the machine's run, so it tells a disk that
//! went back in time even when no peer has heard of the lost end.

use super::Replica;
use super::input::Evidence;
use crate::types::Seq;

/// How far a journal was written, where, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// The machine's run. 0: it cannot be told.
    pub boot: u128,
    pub file: FileId,
    /// The last durable batch.
    pub batch: u64,
    /// The own log's end in it.
    pub sequence: Seq,
    /// The nonce of the session that wrote it; 0: none has begun.
    pub session: u64,
    /// Whether whoever wrote it knew that the disk was the newest. Nothing is noted before that is
    /// known; when it is not at a start, the note that is there loses this.
    pub vouched: bool,
}

/// Which file a journal is: a copy of it is another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileId {
    pub inode: u64,
    /// In nanoseconds since 1970; 0: the file system does not say.
    pub born: u64,
}

/// Holds a journal as it was `found` at a start against what the witness `noted`, if anything.
///
/// A batch is noted when it is durable and before anything that rests on it is let out, so the journal
/// may be one batch ahead, and that one told nobody anything.
pub fn judge(noted: Option<&Note>, found: &Note) -> Evidence {
    let unproven = |why: &str| Evidence::Unproven(why.to_owned());
    let Some(noted) = noted else {
        return unproven("it has no witness: this is its first start here, or the machine was started anew");
    };
    let is_copy = noted.file != found.file;
    if noted.batch > found.batch {
        let file = if is_copy { "it is a copy or was restored; " } else { "" };
        return Evidence::Behind(format!(
            "{file}the journal ends at batch {}, its witness saw batch {} written",
            found.batch, noted.batch
        ));
    }
    let is_same = (noted.sequence, noted.session) == (found.sequence, found.session);
    if found.sequence < noted.sequence || (noted.batch == found.batch && !is_same) {
        return Evidence::Behind(format!(
            "the journal ends at batch {} and sequence {}, its witness saw batch {} and sequence {} \
             written by another session: it is a copy that went its own way",
            found.batch, found.sequence, noted.batch, noted.sequence
        ));
    }
    if found.boot == 0 {
        return unproven("this system does not tell its runs apart");
    }
    if noted.boot != found.boot {
        return unproven("its witness is of an earlier run of this machine");
    }
    if is_copy {
        return unproven("the journal is another file than its witness saw: a copy, or restored");
    }
    if found.batch - noted.batch > 1 {
        return unproven("the journal went on without its witness");
    }
    if !noted.vouched {
        return unproven("the start before was not proven either");
    }
    Evidence::Proven
}

impl Replica {
    /// The nonce of the own log's newest session; 0: none has begun.
    pub fn session(&self) -> u64 {
        self.state.session()
    }

    /// What a vouched witness notes once all of this is durable as `batch` of the journal in `file`.
    pub fn note_at(&self, boot: u128, file: FileId, batch: u64) -> Note {
        let (sequence, session) = (self.state.own_watermark(), self.state.session());
        Note { boot, file, batch, sequence, session, vouched: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: Note = Note {
        boot: 7,
        file: FileId { inode: 3, born: 5 },
        batch: 20,
        sequence: Seq(9),
        session: 77,
        vouched: true,
    };

    fn is_unproven(noted: Note, found: Note) -> bool {
        matches!(judge(Some(&noted), &found), Evidence::Unproven(_))
    }

    fn is_behind(noted: Note, found: Note) -> bool {
        matches!(judge(Some(&noted), &found), Evidence::Behind(_))
    }

    #[test]
    fn a_journal_that_ends_where_its_witness_says_is_proven() {
        assert_eq!(judge(Some(&NOTE), &NOTE), Evidence::Proven);
        let one_more = Note { batch: 21, session: 78, sequence: Seq(10), ..NOTE };
        assert_eq!(judge(Some(&NOTE), &one_more), Evidence::Proven, "synced and not yet noted");
        assert!(is_unproven(NOTE, Note { batch: 22, ..one_more }));
    }

    #[test]
    fn a_journal_behind_its_witness_went_back_whatever_else_changed() {
        let behind = Note { batch: 19, sequence: Seq(8), ..NOTE };
        assert!(is_behind(NOTE, behind));
        assert!(is_behind(Note { vouched: false, ..NOTE }, behind));
        assert!(is_behind(NOTE, Note { boot: 8, ..behind }), "batches are durable before they are noted");
        let copy = Note { file: FileId { inode: 4, born: 6 }, ..behind };
        let Evidence::Behind(proof) = judge(Some(&NOTE), &copy) else { panic!("not behind") };
        assert!(proof.contains("batch 19") && proof.contains("batch 20") && proof.contains("a copy"));
    }

    #[test]
    fn a_copy_that_went_its_own_way_is_told_by_its_session() {
        assert!(is_behind(NOTE, Note { session: 78, ..NOTE }));
        assert!(is_behind(NOTE, Note { batch: 21, sequence: Seq(8), session: 78, ..NOTE }));
    }

    #[test]
    fn what_no_witness_saw_is_unproven() {
        assert!(matches!(judge(None, &NOTE), Evidence::Unproven(_)));
        assert!(is_unproven(NOTE, Note { boot: 8, ..NOTE }));
        assert!(is_unproven(NOTE, Note { file: FileId { born: 6, ..NOTE.file }, ..NOTE }));
        assert!(is_unproven(Note { vouched: false, ..NOTE }, NOTE));
        assert!(is_unproven(Note { boot: 0, ..NOTE }, Note { boot: 0, ..NOTE }), "no boot can be told");
    }
}
