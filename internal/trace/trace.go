// Package trace has a trace for each message of kaban/1, with a span for each stage of
// its way through the server, in a binary that was built with the tag otel:
//
//   - read: from the begin of the round that read it until it is handed to the
//     dispatcher,
//   - commit: the store takes the batch that it is in,
//   - fan-out: it is encoded, and the connections of its readers are woken.
//
// Between read and commit it waits for the batch before.
//
// Spans say nothing of who wrote what. In other binaries nothing of this package is left:
// its types are empty, and its functions are. The names, units and limits of the
// exporter are those of OpenTelemetry: it sends to OTEL_EXPORTER_OTLP_ENDPOINT over HTTP,
// and OTEL_TRACES_SAMPLER says which part of all messages.
package trace
