"""Classifiers over frozen features: linear, logistic, SVM and boosting."""
