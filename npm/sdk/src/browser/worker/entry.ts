import { plugPlatform } from "../../platform.js";
import { platformOf } from "../platform.js";
import { loadNow, workerBinding } from "./binding.js";

plugPlatform(platformOf(workerBinding, loadNow));

export * from "../../worker.js";
