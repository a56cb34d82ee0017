/** Byte corpora from files, folders and archives, and the pure functions that draw batches from them. */
package org.megabyte4j.data;
