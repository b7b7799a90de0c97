/**
 * Binds the methods of an object's class to it, so that `const { execute } = session.command` works. They are not
 * enumerable: printing and comparing show the object's data only.
 */
export function bindMethods(object: object): void {
  const prototype: object = Object.getPrototypeOf(object);
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (name !== "constructor" && typeof value === "function") {
      Object.defineProperty(object, name, { value: value.bind(object), configurable: true, writable: true });
    }
  }
}
