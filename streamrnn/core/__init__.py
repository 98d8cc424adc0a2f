"""Words that every room shares: errors, frames, events, links, the plug-in registry. No I/O."""
