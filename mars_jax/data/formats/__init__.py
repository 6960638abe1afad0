"""The feeds that can be read, a module each; `readers` finds the right one."""
