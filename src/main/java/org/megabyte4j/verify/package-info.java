/** Holds an implementation against recorded results of the original: what {@code megabyte4j verify} runs. */
package org.megabyte4j.verify;
