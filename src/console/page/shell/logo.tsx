/** The icon of the page: a stream, and what branched off it. */
export const Logo = () => (
  <svg viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="7" fill="#0f6f78" />
    <path d="M9 9v14M9 12h9m-9 8h14" fill="none" stroke="#fff" strokeWidth="2.4" strokeLinecap="round" />
    <circle cx="9" cy="9" r="2.6" fill="#fff" />
    <circle cx="20" cy="12" r="2.6" fill="#fff" />
    <circle cx="23" cy="20" r="2.6" fill="#8fe3ea" />
  </svg>
);
