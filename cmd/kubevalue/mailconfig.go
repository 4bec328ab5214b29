package main

import (
	"log/slog"

	"github.com/kubevalue/kubevalue/reports/mail"
)

// sender sends mail as configured, and remembers it in log.
func (c *Config) sender(log mail.DeliveryLog, logger *slog.Logger) (*mail.Sender, error) {
	r := c.Reports
	cfg := mail.Config{
		Host: r.SMTP.Host, Port: r.SMTP.Port, TLS: mail.TLSPolicy(r.SMTP.TLS), CAFile: c.path(r.SMTP.CAFile), Username: r.SMTP.Username, Password: r.SMTP.Password,
		From: r.From, UnsubscribeAt: r.Unsubscribe, Log: log, Logger: logger,
	}
	if r.DKIM.KeyFile != "" {
		cfg.DKIM = &mail.DKIM{Domain: r.DKIM.Domain, Selector: r.DKIM.Selector, KeyFile: c.path(r.DKIM.KeyFile)}
	}
	return mail.NewSender(cfg)
}
