// Makes elements. Text goes in as text only, so a name from a feed can never become markup.

/**
 * Makes an element. Props: `text`, `on` (an object of listeners), any attribute; an attribute that is
 * null, undefined or false is left out, and true makes an empty one. Children that are null are skipped.
 */
export function el(tag, { text, on, ...attributes } = {}, ...children) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) attribute(node, name, value);
  for (const [event, listener] of Object.entries(on ?? {})) node.addEventListener(event, listener);
  node.append(...children.filter((child) => child != null));
  return node;
}

/** Sets an attribute, or takes it away for null, undefined and false. */
export function attribute(node, name, value) {
  if (value == null || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : value);
}

/** Sets a node's text if it is another: an equal one would be announced and repainted for nothing. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Puts the nodes into the parent in this order. Nodes that already stand right are not touched, so focus stays. */
export function arrange(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const node of nodes) {
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
  }
}
