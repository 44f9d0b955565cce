"""The gRPC face: KServe v2's GRPCInferenceService. Handlers over raw bytes, kept apart from the transport."""
