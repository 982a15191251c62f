//! Error numbers of include/uapi/asm-generic/errno-base.h, as helpers return them.

/// No memory: a stack-trace map has no free element.
pub(crate) const ENOMEM: i64 = -12;
/// The map is full.
pub(crate) const E2BIG: i64 = -7;
/// No stack could be taken.
pub(crate) const EFAULT: i64 = -14;
/// The map's bucket is locked by what this program interrupted.
pub(crate) const EBUSY: i64 = -16;
/// The key, or another stack, is there already.
pub(crate) const EEXIST: i64 = -17;
/// Newer kernels' way to say [`EBUSY`] (resilient spin locks).
pub(crate) const EDEADLK: i64 = -35;
/// As [`EDEADLK`], after waiting.
pub(crate) const ETIMEDOUT: i64 = -110;
