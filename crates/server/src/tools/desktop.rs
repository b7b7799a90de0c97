//! The tools of desktops, by name: a client that calls one hears what it would need.

/// Whether a tool of AGB's images with a desktop has this name.
pub(super) fn has(name: &str) -> bool {
    TOOLS.contains(&name)
}

const TOOLS: [&str; 27] = [
    "activate_window",
    "click_mouse",
    "close_window",
    "drag_mouse",
    "focus_mode",
    "fullscreen_window",
    "get_active_window",
    "get_cursor_position",
    "get_installed_apps",
    "get_screen_size",
    "input_text",
    "list_root_windows",
    "list_visible_apps",
    "maximize_window",
    "minimize_window",
    "move_mouse",
    "press_keys",
    "release_keys",
    "resize_window",
    "restore_window",
    "screenshot",
    "scroll",
    "start_app",
    "stop_app_by_cmd",
    "stop_app_by_pid",
    "stop_app_by_pname",
    "system_screenshot",
];
