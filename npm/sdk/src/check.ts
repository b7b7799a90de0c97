/**
 * Checks of arguments, for callers without a type checker. Each throws a `TypeError` that names the argument and says
 * what it should have been.
 *
 * @module
 */

/** A non-empty string. */
export function checkString(name: string, value: unknown): string {
  if (typeof value !== "string" || value.trim() === "") {
    throw new TypeError(`${name} must be a non-empty string, not ${describe(value)}`);
  }
  return value;
}

/** A string, also an empty one. */
export function checkText(name: string, value: unknown): string {
  if (typeof value !== "string") {
    throw new TypeError(`${name} must be a string, not ${describe(value)}`);
  }
  return value;
}

/** A string, or nothing (`null` for the backend). */
export function checkOptionalString(name: string, value: unknown): string | null {
  return value === undefined || value === null ? null : checkText(name, value);
}

/** A flag, or nothing (`null`). */
export function checkOptionalFlag(name: string, value: unknown): boolean | null {
  if (value !== undefined && value !== null && typeof value !== "boolean") {
    throw new TypeError(`${name} must be true or false, not ${describe(value)}`);
  }
  return value ?? null;
}

/** A positive, finite number, or nothing (`null` for the backend). */
export function checkOptionalNumber(name: string, value: unknown, unit: string): number | null {
  if (value === undefined || value === null) {
    return null;
  }
  if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) {
    throw new TypeError(`${name} must be a positive number of ${unit}, not ${describe(value)}`);
  }
  return value;
}

/** A positive whole number, or nothing (`null` for the backend). */
export function checkOptionalCount(name: string, value: unknown, unit: string): number | null {
  const number = checkOptionalNumber(name, value, unit);
  if (number !== null && !Number.isSafeInteger(number)) {
    throw new TypeError(`${name} must be a whole number of ${unit}, not ${number}`);
  }
  return number;
}

/** A plain object. */
export function checkObject(name: string, value: unknown): asserts value is object {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`${name} must be an object, not ${describe(value)}`);
  }
}

/** A `{name: text}` object, as the pairs that the backend takes. */
export function labelPairs(name: string, value: unknown): Array<[key: string, value: string]> {
  checkObject(name, value);
  return Object.entries(value).map(([key, text]: [string, unknown]) => {
    if (typeof text !== "string") {
      throw new TypeError(`${name}.${key} must be a string, not ${describe(text)}`);
    }
    return [key, text];
  });
}

/** Names a value's kind in an error text; shows the value itself only where it cannot be a secret. */
export function describe(value: unknown): string {
  if (value === null || value === undefined || typeof value === "number" || typeof value === "boolean") {
    return String(value);
  }
  if (value === "") {
    return "an empty string";
  }
  if (typeof value === "string" && value.trim() === "") {
    return "a blank string";
  }
  if (Array.isArray(value)) {
    return "an array";
  }
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
