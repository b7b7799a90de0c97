//! `get_metrics`: what the session's programs use, of what they may.

use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::time::Instant;

use super::error::ToolError;
use crate::time_text;
use crate::workspace::{Sample, Workspace};

/// Between two calls that are nearer than this, processor time, which is counted in ticks, says nothing.
const SHORTEST: Duration = Duration::from_millis(100);

/// Rates are those since the last call, at first those since the session's first use.
pub(super) fn get_metrics(workspace: &Workspace) -> Result<String, ToolError> {
    let limits = &workspace.config().sandbox;
    let usage = workspace.usage();
    let now = Instant::now();
    let before = {
        let mut last = workspace.last_sample();
        let before = *last;
        if now.saturating_duration_since(before.at) >= SHORTEST {
            *last = Sample { at: now, usage };
        }
        before
    };
    let seconds = now.saturating_duration_since(before.at).max(SHORTEST).as_secs_f64();
    let machine = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    let processors = if limits.cpus > 0 { f64::from(limits.cpus) / 1000.0 } else { machine };
    let busy = usage.processor_time.saturating_sub(before.usage.processor_time).as_secs_f64();
    let rate = |now: u64, before: u64| round(now.saturating_sub(before) as f64 / 1024.0 / seconds);
    let memory = if limits.total_memory > 0 { limits.total_memory } else { memory_of_machine().unwrap_or(0) };
    Ok(json!({
        "cpu_count": processors.ceil() as u64,
        "cpu_used_pct": round((busy / seconds / processors * 100.0).clamp(0.0, 100.0)),
        "mem_total": memory,
        "mem_used": usage.memory,
        "disk_total": limits.disk,
        "disk_used": usage.disk,
        "rx_rate_kbyte_per_s": rate(usage.received, before.usage.received),
        "tx_rate_kbyte_per_s": rate(usage.sent, before.usage.sent),
        "rx_used_kbyte": round(usage.received as f64 / 1024.0),
        "tx_used_kbyte": round(usage.sent as f64 / 1024.0),
        "timestamp": time_text::to_the_millisecond(SystemTime::now()),
    })
    .to_string())
}

fn memory_of_machine() -> Option<u64> {
    let table = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
