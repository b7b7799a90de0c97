//! Programs that try to get out, that use up what they can, and that do not end: at every level that this machine
//! offers, as the user who runs the tests and, if that is root, once more as each that a server may have to be.
//!
//! `cargo test -p agb-sandbox --test battery -- WORD` runs the tests whose name contains the word.
#![cfg(target_os = "linux")]

use std::time::Instant;

use agb_sandbox::main_if_helper;
use agb_testkit::profile::PrivilegeProfile;

mod attempts;
mod changes;
mod ends;
mod escape;
mod hidden;
mod limits;
mod programs;
mod sessions;
mod shared;
mod terminals;
mod world;

use world::World;

type Test = fn(&World);

const TESTS: [(&str, Test); 56] = [
    ("attempts_are_stopped", escape::attempts_are_stopped),
    ("network_host_reaches_the_network_only", escape::network_host_reaches_the_network_only),
    ("programs_find_what_they_need", programs::programs_find_what_they_need),
    ("an_image_below_tmp_is_shown_and_follows_no_link", programs::an_image_below_tmp_is_shown_and_follows_no_link),
    ("a_file_below_tmp_is_shown_whatever_lies_there", programs::a_file_below_tmp_is_shown_whatever_lies_there),
    ("an_image_out_of_reach_is_refused_in_words", programs::an_image_out_of_reach_is_refused_in_words),
    ("threads_are_scheduled_by_their_program", programs::threads_are_scheduled_by_their_program),
    ("programs_change_their_own_files", changes::programs_change_their_own_files),
    ("new_files_lend_no_rights", changes::new_files_lend_no_rights),
    ("changes_reach_no_other_file", changes::changes_reach_no_other_file),
    ("failures_name_the_step", programs::failures_name_the_step),
    ("interrupt_reaches_the_group", programs::interrupt_reaches_the_group),
    ("limits_hold", limits::limits_hold),
    ("hidden_files_count", limits::hidden_files_count),
    ("memory_that_is_no_processs_counts", limits::memory_that_is_no_processs_counts),
    ("nothing_on_disk_is_hidden_by_how_processes_live", hidden::nothing_on_disk_is_hidden_by_how_processes_live),
    ("memory_counts_behind_a_thread_that_has_ended", hidden::memory_counts_behind_a_thread_that_has_ended),
    ("mappings_are_bounded", limits::mappings_are_bounded),
    ("a_full_session_only_removes_files", sessions::a_full_session_only_removes_files),
    ("open_files_of_a_session_are_bounded", sessions::open_files_of_a_session_are_bounded),
    ("connections_of_a_session_are_bounded", sessions::connections_of_a_session_are_bounded),
    ("local_connections_of_a_session_are_bounded", sessions::local_connections_of_a_session_are_bounded),
    ("watches_of_a_session_are_bounded", sessions::watches_of_a_session_are_bounded),
    ("setsids_of_a_session_are_bounded", sessions::setsids_of_a_session_are_bounded),
    ("watches_of_a_sandbox_are_bounded", limits::watches_of_a_sandbox_are_bounded),
    ("timers_of_a_session_are_bounded", sessions::timers_of_a_session_are_bounded),
    ("processes_of_a_session_are_its_own", sessions::processes_of_a_session_are_its_own),
    ("processes_are_counted_where_users_are_shared", sessions::processes_are_counted_where_users_are_shared),
    ("processes_of_a_session_are_counted", sessions::processes_of_a_session_are_counted),
    ("locks_are_bounded", limits::locks_are_bounded),
    ("connections_hold_little", hidden::connections_hold_little),
    ("control_groups_keep_a_sessions_memory", limits::control_groups_keep_a_sessions_memory),
    ("a_start_without_memory_says_so", limits::a_start_without_memory_says_so),
    ("control_groups_keep_a_sessions_processes", limits::control_groups_keep_a_sessions_processes),
    ("control_groups_keep_a_sessions_processors", limits::control_groups_keep_a_sessions_processors),
    ("who_stands_back_gets_less", limits::who_stands_back_gets_less),
    ("control_groups_of_the_dead_are_removed", limits::control_groups_of_the_dead_are_removed),
    ("nothing_outlives_a_sandbox", ends::nothing_outlives_a_sandbox),
    ("a_program_cannot_delay_its_end", ends::a_program_cannot_delay_its_end),
    ("a_first_process_that_stands_still_delays_nothing", ends::a_first_process_that_stands_still_delays_nothing),
    ("the_background_of_a_session_lives_as_long_as_it", ends::the_background_of_a_session_lives_as_long_as_it),
    ("a_thousand_in_the_background_end_with_their_session", ends::a_thousand_in_the_background_end_with_their_session),
    ("a_sandbox_ends_with_its_background", ends::a_sandbox_ends_with_its_background),
    ("nothing_outlives_the_launcher", ends::nothing_outlives_the_launcher),
    ("commands_see_and_end_each_other", shared::commands_see_and_end_each_other),
    ("a_command_ends_alone", shared::a_command_ends_alone),
    ("a_start_behind_the_end_of_its_slot_leaves_nothing", shared::a_start_behind_the_end_of_its_slot_leaves_nothing),
    ("what_loses_its_supervisor_ends", shared::what_loses_its_supervisor_ends),
    ("an_end_that_others_hinder_comes", shared::an_end_that_others_hinder_comes),
    ("a_stopped_supervisor_does_not_keep_its_session", shared::a_stopped_supervisor_does_not_keep_its_session),
    ("a_table_has_its_limits", shared::a_table_has_its_limits),
    ("a_terminal_is_its_programs_and_no_others", terminals::a_terminal_is_its_programs_and_no_others),
    ("what_ignores_a_hang_up_ends_with_its_sandbox", terminals::what_ignores_a_hang_up_ends_with_its_sandbox),
    ("nobody_looks_into_a_supervisor", shared::nobody_looks_into_a_supervisor),
    ("starts_in_a_table_are_fast", shared::starts_in_a_table_are_fast),
    ("starts_are_fast", programs::starts_are_fast),
];

fn main() {
    main_if_helper();
    limits::die_if_asked();
    let words: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let active = PrivilegeProfile::active();
    let _autogroups = sessions::Autogroups::on();
    let _results = agb_testkit::escapes::begin();
    let world = World::new();
    println!("as {}:\n{}", active.unwrap_or_else(PrivilegeProfile::of_this_process), world.launcher.probe());
    println!("control groups: {}", world.launcher.control_groups());
    assert!(!world.levels.is_empty(), "this machine offers no isolation at all");
    let mut passed = 0;
    for (name, test) in TESTS {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            let start = Instant::now();
            test(&world);
            println!("test {name} ... ok ({:.1} s)", start.elapsed().as_secs_f64());
            passed += 1;
        }
    }
    println!("test result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    let dir = world.dir.clone();
    drop(world);
    assert!(!dir.exists(), "what programs have left is removed");
    if active.is_none() {
        for profile in PrivilegeProfile::of_this_process().others() {
            let status = profile.run_again(&words).unwrap_or_else(|error| panic!("as {profile}: {error}"));
            assert!(status.success(), "as {profile}: {status}");
        }
        escape::compare_with_the_list(words.is_empty());
    }
}
