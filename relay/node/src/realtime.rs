//! Asking the machine not to make ticks late: SCHED_FIFO, locked memory, no timer slack.
#![allow(unsafe_code)] // four calls that libc has no safe form of

/// Ahead of ordinary work, behind the kernel's own threads (which have 50).
const PRIORITY: libc::c_int = 20;

/// Ask for all three, for the calling thread and this process's memory; true where the first two were granted.
pub(crate) fn ask() -> bool {
    no_slack();
    let scheduled = fifo();
    let locked = lock();
    scheduled && locked
}

/// Sleeps end when they are due, not up to 50 us later. Always granted.
pub(crate) fn no_slack() {
    // SAFETY: prctl with these arguments reads no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong, 0, 0, 0) };
}

fn fifo() -> bool {
    let parameter = libc::sched_param { sched_priority: PRIORITY };
    // A child of a process that owns real-time rights should not inherit this thread's.
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: 0 is the calling thread; the kernel only reads `parameter`, which outlives the call.
    unsafe { libc::sched_setscheduler(0, policy, &parameter) == 0 }
}

fn lock() -> bool {
    // ONFAULT: pages are locked once they are used; without it every mapping of the interpreter would be made resident.
    // SAFETY: no memory of ours is touched.
    unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) == 0 }
}
