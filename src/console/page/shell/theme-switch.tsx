import { type LucideIcon, Monitor, Moon, Sun } from "lucide-react";
import { setTheme, type Theme, useTheme } from "../theme.ts";

const CHOICES: Readonly<Record<Theme, { next: Theme; icon: LucideIcon; words: string }>> = {
  system: { next: "light", icon: Monitor, words: "as the system" },
  light: { next: "dark", icon: Sun, words: "light" },
  dark: { next: "system", icon: Moon, words: "dark" },
};

export function ThemeSwitch() {
  const { next, icon: Icon, words } = CHOICES[useTheme()];
  const label = `Theme: ${words}. Switch to ${CHOICES[next].words}`;
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={label}
      title={label}
      onClick={() => setTheme(next)}
    >
      <Icon size={17} aria-hidden="true" />
    </button>
  );
}
