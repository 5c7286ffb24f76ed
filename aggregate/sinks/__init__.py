"""Where alerts are sent: webhooks, Alertmanager, Slack, PagerDuty and e-mail, who gets which, and their delivery."""
