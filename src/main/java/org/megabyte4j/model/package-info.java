/** The model: its configuration, its parameters, and its layers with forward and backward side by side. */
package org.megabyte4j.model;
