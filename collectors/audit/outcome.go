package audit

import (
	"net/http"
	"strings"

	"github.com/kubevalue/kubevalue/schema"
)

// Reasons of failures, beside those that schema names. Clients can do something about the first group; the last is ours.
const (
	reasonPanic       = "panic"
	reasonWebhook     = "webhook" // an admission webhook did not answer
	reasonClientError = "client_error"
	reasonServerError = "server_error"
)

// statusReasons gives metav1.StatusReason our spelling.
var statusReasons = map[string]string{
	"Unauthorized":          "unauthorized",
	"Forbidden":             "forbidden",
	"NotFound":              "notfound",
	"AlreadyExists":         "alreadyexists",
	"Conflict":              "conflict",
	"Gone":                  "gone",
	"Expired":               "gone",
	"Invalid":               "invalid",
	"ServerTimeout":         "timeout",
	"Timeout":               "timeout",
	"StoreReadError":        "server_error",
	"TooManyRequests":       "too_many_requests",
	"BadRequest":            "bad_request",
	"MethodNotAllowed":      "method_not_allowed",
	"NotAcceptable":         "not_acceptable",
	"RequestEntityTooLarge": "too_large",
	"UnsupportedMediaType":  "unsupported_media_type",
	"InternalError":         "internal_error",
	"ServiceUnavailable":    "unavailable",
}

// codeReasons is for answers without a metav1.StatusReason, such as those of proxied and aggregated APIs.
var codeReasons = map[int]string{
	http.StatusBadRequest:            "bad_request",
	http.StatusUnauthorized:          "unauthorized",
	http.StatusNotFound:              "notfound",
	http.StatusMethodNotAllowed:      "method_not_allowed",
	http.StatusNotAcceptable:         "not_acceptable",
	http.StatusRequestTimeout:        "timeout",
	http.StatusConflict:              "conflict",
	http.StatusGone:                  "gone",
	http.StatusRequestEntityTooLarge: "too_large",
	http.StatusUnsupportedMediaType:  "unsupported_media_type",
	http.StatusUnprocessableEntity:   "invalid",
	http.StatusTooManyRequests:       "too_many_requests",
	http.StatusInternalServerError:   "internal_error",
	http.StatusServiceUnavailable:    "unavailable",
	http.StatusGatewayTimeout:        "timeout",
}

// outcomeOf says how the request ended for who made it, and why. The apiserver leaves the status away only when it knows
// of no fault.
func outcomeOf(w *wireEvent) (schema.Outcome, string) {
	if w.Stage == stagePanic {
		return schema.OutcomeFailure, reasonPanic
	}
	status := w.ResponseStatus
	if status == nil || status.Code < http.StatusBadRequest {
		return schema.OutcomeSuccess, ""
	}
	if reason := denial(status, w.Annotations.Decision); reason != "" {
		return schema.OutcomeDenied, reason
	}
	return schema.OutcomeFailure, failure(status)
}

// denial says which policy refused; empty: none did. Quota and limit ranges answer 403 as the authorizer does, so the text
// decides between them; webhooks and admission policies choose any code of 4xx.
func denial(status *wireStatus, decision string) string {
	if status.Code >= http.StatusInternalServerError {
		return ""
	}
	message := status.Message
	if status.Code == http.StatusForbidden {
		switch {
		case decision == "forbid":
			return schema.ReasonRBAC
		case isQuotaText(message):
			return schema.ReasonQuota
		case isRBACText(message):
			return schema.ReasonRBAC
		}
		return schema.ReasonAdmission
	}
	if strings.Contains(message, "denied the request") || strings.Contains(message, "denied request") {
		return schema.ReasonAdmission
	}
	return ""
}

// isQuotaText knows the words of the admission plugins ResourceQuota and LimitRanger.
func isQuotaText(message string) bool {
	for _, words := range [...]string{"exceeded quota", "failed quota", "insufficient quota", "max limit to request ratio per"} {
		if strings.Contains(message, words) {
			return true
		}
	}
	return strings.Contains(message, " usage per ") &&
		(strings.Contains(message, "maximum ") || strings.Contains(message, "minimum "))
}

// isRBACText knows the words of the authorizer and of the check against escalation.
func isRBACText(message string) bool {
	_, refusal, found := strings.Cut(message, " cannot ")
	if found && (strings.Contains(refusal, " resource ") || strings.Contains(refusal, " path ")) {
		return true
	}
	return strings.Contains(message, "attempting to grant RBAC permissions")
}

func failure(status *wireStatus) string {
	if status.Code >= http.StatusInternalServerError && strings.Contains(status.Message, "failed calling webhook") {
		return reasonWebhook
	}
	if reason, known := statusReasons[status.Reason]; known {
		return reason
	}
	if reason, known := codeReasons[status.Code]; known {
		return reason
	}
	if status.Code < http.StatusInternalServerError {
		return reasonClientError
	}
	return reasonServerError
}
