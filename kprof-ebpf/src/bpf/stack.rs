//! The kernel stack: into the stack-trace map, or into the spill map where its bucket is taken.

use aya_ebpf::cty::c_void;
use aya_ebpf::helpers::generated::{bpf_get_stack, bpf_get_stackid};
use kprof_ebpf::config::arch;
use kprof_ebpf::{Counter, MAX_FRAMES, SpillStack};

use super::errno::{EEXIST, EFAULT, ENOMEM};
use super::log;
use super::maps::{Epoch, SCRATCH};
use super::settings::setting;

/// `BPF_NOEXIST` of include/uapi/linux/bpf.h.
const NOEXIST: u64 = 1;

/// What became of a sample's stack.
pub(crate) enum Stack {
    /// In the stack-trace map.
    Id(u64),
    /// There is none: the CPU was in user mode.
    User,
    /// In the spill map.
    Spilled(u64),
    /// Nowhere.
    Lost(Counter),
}

/// Takes the stack behind `ctx`.
#[inline(always)]
pub(crate) fn take<E: Epoch>(ctx: *mut c_void, has_regs: bool) -> Stack {
    let knows_mode = has_regs && setting!(arch) != arch::OTHER;
    if knows_mode && in_user_mode(ctx) {
        return Stack::User;
    }
    let map = core::ptr::from_ref(E::STACKS).cast_mut().cast();
    // Flags 0: kernel stack, no frames skipped, a taken bucket stays as it is.
    // SAFETY: the map is a stack-trace map and the context this program's own.
    let id = unsafe { bpf_get_stackid(ctx, map, 0) };
    if id >= 0 {
        return Stack::Id(id as u64);
    }
    match id {
        // The bucket is taken; or another CPU is taking the last element that is free.
        EEXIST | ENOMEM => spill::<E>(ctx),
        EFAULT if has_regs && !knows_mode => Stack::User,
        EFAULT => Stack::Lost(Counter::StackFault),
        _ => Stack::Lost(Counter::Other),
    }
}

/// Whether the registers that the event saved are those of user mode.
#[inline(always)]
fn in_user_mode(ctx: *mut c_void) -> bool {
    let regs: *const u64 = ctx.cast_const().cast();
    if setting!(arch) == arch::X86_64 {
        // `struct pt_regs.cs`: its two low bits are the privilege level.
        // SAFETY: the verifier checks the load against the context's layout.
        return unsafe { regs.add(17).read_volatile() } & 3 != 0;
    }
    if setting!(arch) == arch::AARCH64 {
        // `struct user_pt_regs.pstate`: mode EL0t is 0.
        // SAFETY: as above.
        return unsafe { regs.add(33).read_volatile() } & 0xf == 0;
    }
    false
}

#[inline(always)]
fn spill<E: Epoch>(ctx: *mut c_void) -> Stack {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return Stack::Lost(Counter::Other);
    };
    // SAFETY: this CPU's own element; programs do not nest on a CPU.
    let scratch = unsafe { &mut *scratch };
    // SAFETY: the buffer is as long as said; the helper fills what it does not use with zeros.
    let bytes = unsafe {
        bpf_get_stack(
            ctx,
            scratch.frames.as_mut_ptr().cast(),
            (MAX_FRAMES * 8) as u32,
            0,
        )
    };
    if bytes <= 0 {
        return Stack::Lost(Counter::StackFault);
    }
    let len = bytes as u64 / 8;
    scratch.len = len;
    let hash = hash(scratch, len);
    log::spilled(hash, len);
    // SAFETY: only userspace deletes, and only in a map that no program uses.
    if unsafe { E::SPILL.get(hash) }.is_some() {
        return Stack::Spilled(hash);
    }
    match E::SPILL.insert(hash, &*scratch, NOEXIST) {
        Ok(()) => Stack::Spilled(hash),
        Err(error) if i64::from(error) == EEXIST => Stack::Spilled(hash),
        Err(_) => Stack::Lost(Counter::SpillFull),
    }
}

/// A 64-bit hash of the frames in use.
#[inline(always)]
fn hash(stack: &SpillStack, len: u64) -> u64 {
    let mut hash = len;
    let mut i = 0;
    while i < MAX_FRAMES && (i as u64) < len {
        hash = (hash ^ stack.frames[i]).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
        i += 1;
    }
    hash
}
