"""QuPath itself: installations, the headless JVM process, pull, push, and installing the Groovy scripts."""
