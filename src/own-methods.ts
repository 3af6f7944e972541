/**
 * Makes methods work without their object in front of them: after `const { commit } = store`, after
 * `store.commit.bind(other)`, and through a Proxy. A prototype's method would fail there at the first private field.
 */

/**
 * Gives `object` a property of its own for each method of `prototype`. The property looks the method up at each call, on
 * the prototype chain of `object`, so that a subclass may override the method and a spy may replace it later.
 */
export function ownMethods(object: object, prototype: object): void {
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (name === "constructor" || typeof value !== "function") continue;
    Object.defineProperty(object, name, {
      value: (...args: unknown[]) =>
        Reflect.apply(Reflect.get(Object.getPrototypeOf(object), name, object), object, args),
      configurable: true,
      // Enumerable as a field is, because a decorator may spread a store.
      enumerable: true,
      writable: true,
    });
  }
}
