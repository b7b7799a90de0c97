/**
 * `session.computer`: the desktop of a session whose image has one. Each method is one call of a tool; where the session
 * has no such tool, nothing is sent and the result has the code `NOT_SUPPORTED`.
 *
 * @module
 */

import type { Answer, NativeSession } from "../binding.js";
import { bindMethods } from "../bind-methods.js";
import { ScreenError } from "../errors.js";
import type { BoolResult } from "../file-results.js";
import { invoke } from "../invoke.js";
import { type ApiResult, apiResult, type OperationResult } from "../results.js";

/** Which button of the mouse. */
export enum MouseButton {
  LEFT = "left",
  RIGHT = "right",
  MIDDLE = "middle",
  DOUBLE_LEFT = "double_left",
}

/** Where to scroll. */
export enum ScrollDirection {
  UP = "up",
  DOWN = "down",
  LEFT = "left",
  RIGHT = "right",
}

/** Where the mouse is; zeros on failure. */
export interface CursorPosition extends OperationResult<unknown> {
  readonly x: number;
  readonly y: number;
}

/** How large the screen is; zeros on failure. `data` has the same. */
export interface ScreenSize extends OperationResult<unknown> {
  readonly width: number;
  readonly height: number;
  readonly dpiScalingFactor: number;
}

/** Result of a screenshot: the address of the picture, or the picture in base64; empty on failure. */
export interface ScreenshotResult extends ApiResult {
  readonly data: string;
}

/** A window of the desktop, as the service describes it. */
export type WindowInfo = Record<string, unknown>;

/** Result of {@link WindowManager.getActiveWindow}. */
export interface WindowInfoResult extends ApiResult {
  /** Absent on failure. */
  readonly window?: WindowInfo;
}

/** Result of {@link WindowManager.listRootWindows}. */
export interface WindowListResult extends ApiResult {
  /** Empty on failure. */
  readonly windows: WindowInfo[];
}

/** Result of stopping a program. */
export interface AppOperationResult extends BoolResult {}

/** A program that runs, as the service describes it. */
export type ProcessInfo = Record<string, unknown>;

/** Programs that run; empty on failure. */
export interface ProcessListResult extends ApiResult {
  readonly data: ProcessInfo[];
}

/** A program that is installed, as the service describes it. */
export type InstalledAppInfo = Record<string, unknown>;

/** Programs that are installed; empty on failure. */
export interface InstalledAppListResult extends ApiResult {
  readonly data: InstalledAppInfo[];
}

/** What calls the tools of a desktop. */
class Tools {
  readonly #native: NativeSession;

  constructor(native: NativeSession) {
    this.#native = native;
    bindMethods(this);
  }

  protected tool(name: string, args: object = {}): Promise<Answer<string>> {
    return invoke<string>(this.#native, "session.toolIfOffered", { name, args });
  }

  protected async done(name: string, args: object = {}): Promise<BoolResult> {
    const answer = await this.tool(name, args);
    return { ...apiResult(answer), data: answer.success };
  }

  protected async list(name: string, args: object = {}): Promise<ApiResult & { readonly data: Array<Record<string, unknown>> }> {
    const answer = await this.tool(name, args);
    const items = parsed(answer);
    return { ...apiResult(answer), data: Array.isArray(items) ? items : [] };
  }
}

/** The mouse of a desktop. */
export class MouseController extends Tools {
  click(x: number, y: number, button: MouseButton | `${MouseButton}` = MouseButton.LEFT): Promise<BoolResult> {
    return this.done("click_mouse", { x, y, button });
  }

  move(x: number, y: number): Promise<BoolResult> {
    return this.done("move_mouse", { x, y });
  }

  drag(fromX: number, fromY: number, toX: number, toY: number, button: MouseButton | `${MouseButton}` = MouseButton.LEFT): Promise<BoolResult> {
    return this.done("drag_mouse", { from_x: fromX, from_y: fromY, to_x: toX, to_y: toY, button });
  }

  scroll(x: number, y: number, direction: ScrollDirection | `${ScrollDirection}` = ScrollDirection.UP, amount = 1): Promise<BoolResult> {
    return this.done("scroll", { x, y, direction, amount });
  }

  async getPosition(): Promise<CursorPosition> {
    const answer = await this.tool("get_cursor_position");
    const data = parsed(answer);
    return { ...apiResult(answer), data, x: numberOf(data, "x"), y: numberOf(data, "y") };
  }
}

/** The keyboard of a desktop. */
export class KeyboardController extends Tools {
  type(text: string): Promise<BoolResult> {
    return this.done("input_text", { text });
  }

  /** @param hold Whether the keys stay pressed until {@link KeyboardController.release}. */
  press(keys: readonly string[], hold = false): Promise<BoolResult> {
    return this.done("press_keys", { keys, hold });
  }

  release(keys: readonly string[]): Promise<BoolResult> {
    return this.done("release_keys", { keys });
  }
}

/** The windows of a desktop. */
export class WindowManager extends Tools {
  async listRootWindows(timeoutMs = 3000): Promise<WindowListResult> {
    const { data, ...result } = await this.list("list_root_windows", { timeout_ms: timeoutMs });
    return { ...result, windows: data };
  }

  async getActiveWindow(timeoutMs = 3000): Promise<WindowInfoResult> {
    const answer = await this.tool("get_active_window", { timeout_ms: timeoutMs });
    const window = parsed(answer);
    return { ...apiResult(answer), ...(typeof window === "object" && window !== null ? { window: window as WindowInfo } : {}) };
  }

  activate(windowId: number): Promise<BoolResult> {
    return this.#change("activate", windowId);
  }

  close(windowId: number): Promise<BoolResult> {
    return this.#change("close", windowId);
  }

  maximize(windowId: number): Promise<BoolResult> {
    return this.#change("maximize", windowId);
  }

  minimize(windowId: number): Promise<BoolResult> {
    return this.#change("minimize", windowId);
  }

  restore(windowId: number): Promise<BoolResult> {
    return this.#change("restore", windowId);
  }

  resize(windowId: number, width: number, height: number): Promise<BoolResult> {
    return this.#change("resize", windowId, { width, height });
  }

  fullscreen(windowId: number): Promise<BoolResult> {
    return this.#change("fullscreen", windowId);
  }

  focusMode(on: boolean): Promise<BoolResult> {
    return this.done("focus_mode", { on });
  }

  #change(what: string, windowId: number, args: object = {}): Promise<BoolResult> {
    return this.done(`${what}_window`, { window_id: windowId, ...args });
  }
}

/** The programs of a desktop. */
export class ApplicationManager extends Tools {
  start(startCmd: string, workDirectory = "", activity = ""): Promise<ProcessListResult> {
    return this.list("start_app", { start_cmd: startCmd, work_directory: workDirectory, activity });
  }

  stopByPName(pname: string): Promise<AppOperationResult> {
    return this.done("stop_app_by_pname", { pname });
  }

  stopByPID(pid: number): Promise<AppOperationResult> {
    return this.done("stop_app_by_pid", { pid });
  }

  stopByCmd(cmd: string): Promise<AppOperationResult> {
    return this.done("stop_app_by_cmd", { stop_cmd: cmd });
  }

  listInstalled(startMenu = true, desktop = true, ignoreSystemApps = true): Promise<InstalledAppListResult> {
    const args = { start_menu: startMenu, desktop, ignore_system_apps: ignoreSystemApps };
    return this.list("get_installed_apps", args);
  }

  listVisible(): Promise<ProcessListResult> {
    return this.list("list_visible_apps");
  }
}

/** The screen of a desktop. */
export class ScreenController extends Tools {
  async capture(): Promise<ScreenshotResult> {
    const answer = await this.tool("system_screenshot");
    return { ...apiResult(answer), data: answer.data ?? "" };
  }

  async getSize(): Promise<ScreenSize> {
    const answer = await this.tool("get_screen_size");
    const data = parsed(answer);
    const [width, height, dpiScalingFactor] = ["width", "height", "dpiScalingFactor"].map((name) => numberOf(data, name));
    return { ...apiResult(answer), data, width: width ?? 0, height: height ?? 0, dpiScalingFactor: dpiScalingFactor ?? 0 };
  }

  /**
   * A screenshot in base64.
   *
   * @throws {@link ScreenError} (as a rejection) when there is none.
   */
  async betaTakeScreenshot(): Promise<ScreenshotResult> {
    const answer = await this.tool("screenshot");
    if (!answer.success) {
      throw new ScreenError(answer.errorMessage, answer.code ?? "UNKNOWN");
    }
    return { ...apiResult(answer), data: answer.data ?? "" };
  }
}

/** The desktop of a session; see {@link Session.computer}. */
export class Computer {
  readonly mouse: MouseController;
  readonly keyboard: KeyboardController;
  readonly window: WindowManager;
  readonly app: ApplicationManager;
  readonly screen: ScreenController;

  /** @internal */
  constructor(native: NativeSession) {
    this.mouse = new MouseController(native);
    this.keyboard = new KeyboardController(native);
    this.window = new WindowManager(native);
    this.app = new ApplicationManager(native);
    this.screen = new ScreenController(native);
  }
}

/** The JSON that a tool answered; `null` for what is none. */
function parsed({ data }: Answer<string>): unknown {
  try {
    return data === null ? null : JSON.parse(data);
  } catch {
    return null;
  }
}

function numberOf(data: unknown, name: string): number {
  const value = typeof data === "object" && data !== null ? (data as Record<string, unknown>)[name] : undefined;
  return typeof value === "number" ? value : 0;
}
