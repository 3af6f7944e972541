/** First import of every entry: the framework reads its log level when it is loaded, and traces cost time. */
process.env.LOG_LEVEL ??= "fatal";
process.env.NODE_ENV ??= "production";
