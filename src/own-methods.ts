/**
 * Methods that work without their object in front of them, as `const { commit } = store`, `store.commit.bind(other)`
 * and a Proxy call them. A method of the prototype alone would then find none of the object's private fields.
 */

/**
 * Gives `object` a property of its own for each method of `prototype`. It calls, on `object`, the method that its
 * prototype chain has at that time: so a subclass may override the method, and a spy may replace it later.
 */
export function ownMethods(object: object, prototype: object): void {
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (name === "constructor" || typeof value !== "function") continue;
    Object.defineProperty(object, name, {
      value: (...args: unknown[]) =>
        Reflect.apply(Reflect.get(Object.getPrototypeOf(object), name, object), object, args),
      configurable: true,
      // As fields are: a decorator may spread a store.
      enumerable: true,
      writable: true,
    });
  }
}
