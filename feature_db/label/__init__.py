"""Labels as events: queues, blindness, agreement, drafts."""
